"""The tokenizer of a ``tekken.json``: tokens of bytes by rank, how a text is cut, and special tokens before them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from attendant_export.errors import TokenizerError
from attendant_export.source.json_files import read_json

BOS, EOS = "<s>", "</s>"
_OLDER = (
    *("<unk>", BOS, EOS, "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""Special tokens of files that name none (mistral-common's ``Tekkenizer.DEPRECATED_SPECIAL_TOKENS``)."""


def tokenizer_of(path: Path) -> Any:
    """A ``tokenizers.Tokenizer``, whose texts begin with ``<s>``.

    Raises:
        TokenizerError: the file is none of this kind, or lacks something; says what.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    try:
        content = read_json(path)
        pattern = str(content["config"]["pattern"])
        special = _special_tokens(content)
        room = int(content["config"]["default_vocab_size"]) - len(special)
        tokens = [base64.b64decode(entry["token_bytes"]) for entry in content["vocab"][:room]]
        ordered = [entry["rank"] for entry in content["vocab"][:room]] == list(range(len(tokens)))
    except (LookupError, TypeError, ValueError) as error:
        raise TokenizerError(
            f"{path} is no vocabulary of Mistral's tekken ({type(error).__name__}: {error})"
        ) from error
    if not ordered or BOS not in special or EOS not in special:
        raise TokenizerError(f"{path} is no vocabulary of Mistral's tekken: ranks in order, {BOS} and {EOS} are needed")
    letters = _letters()
    names = ["".join(letters[byte] for byte in token) for token in tokens]
    vocabulary = {name: index for index, name in enumerate([*special, *names])}
    if len(vocabulary) != len(special) + len(names):
        raise TokenizerError(f"{path} has a token twice")
    tokenizer = Tokenizer(models.BPE(vocabulary, _merges(tokens, letters), ignore_merges=True))
    cuts = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    into_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cuts, into_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    ids = [(BOS, vocabulary[BOS])]
    begins = processors.TemplateProcessing(single=[BOS, "$A"], pair=[BOS, "$A", f"{BOS}:1", "$B:1"], special_tokens=ids)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begins])
    return tokenizer


def _special_tokens(content: dict[str, Any]) -> list[str]:
    """In the order of their ids, with names of their own where a file leaves room for more."""
    entries = content.get("special_tokens")
    named = list(_OLDER) if entries is None else [entry["token_str"] for entry in sorted(entries, key=_rank)]
    if entries is not None and [entry["rank"] for entry in sorted(entries, key=_rank)] != list(range(len(named))):
        raise ValueError("the ranks of its special tokens are not 0, 1, 2, ...")
    count = int(content["config"].get("default_num_special_tokens") or len(named))
    return named + [f"<SPECIAL_{index}>" for index in range(len(named), count)]


def _rank(entry: dict[str, Any]) -> int:
    return int(entry["rank"])


def _letters() -> list[str]:
    """What byte-level tokenizers write for each byte: itself where it can be printed, else a letter from 256 on."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printed)
    stand_ins = {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [stand_ins.get(byte, chr(byte)) for byte in range(256)]


def _merges(tokens: list[bytes], letters: list[str]) -> list[tuple[str, str]]:
    """Every pair of tokens that makes a token, by the rank of that: a tokenizer by ranks joins any such pair."""
    ranks = {token: rank for rank, token in enumerate(tokens)}

    def name(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    found = []
    for token in tokens:
        cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
        pairs = [pair for pair in cuts if pair[0] in ranks and pair[1] in ranks]
        pairs.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        found += [(name(first), name(second)) for first, second in pairs]
    return found
