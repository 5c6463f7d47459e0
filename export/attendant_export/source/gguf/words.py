"""The tokenizer of a GGUF file as tokenizer.json, and the files of a model folder that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from attendant_export.errors import TokenizerError
from attendant_export.source.gguf.file import GgufFile
from attendant_export.source.gguf.splits import SPLITS, pre_tokenizer
from attendant_export.toolchain import internal

_PREFIX = "tokenizer.ggml."
_SPACE = "\u2581"
_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_TURN_ENDS = (
    *("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>"),
    *("<|return|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "</s>", "<end_of_utterance>"),
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)
"""Tokens that end an answer, as llama.cpp knows them, where they are control tokens of the file."""

_NO_TURNS = ("<unk>", "<s>", "<|endoftext|>")
"""Special tokens of Phi-3 that leave the white space after them."""


class Kind(IntEnum):
    """Of a token (``tokenizer.ggml.token_type``)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a file, and their kinds and scores, of which there may be none."""

    tokens: Sequence[str]
    kinds: Sequence[int]
    scores: Sequence[float]

    def of(self, *kinds: Kind) -> list[str]:
        """Those of some kinds, in order."""
        return [token for token, kind in zip(self.tokens, self.kinds, strict=True) if kind in kinds]


def tokenizer_of(file: GgufFile) -> Any:
    """A ``tokenizers.Tokenizer``.

    Raises:
        TokenizerError: there is none, or one of a kind that is not read; names it and those that are.
    """
    kind = file.fields.get(f"{_PREFIX}model")
    if kind is None or kind == "none":
        raise TokenizerError(f"{file.path} has no tokenizer ({_PREFIX}model)")
    if kind not in _BUILDERS:
        raise TokenizerError(f"{file.path}: {_PREFIX}model is {kind!r}; read are {', '.join(_BUILDERS)}")
    vocabulary = _vocabulary(file)
    tokenizer = _BUILDERS[kind](file, vocabulary)
    _add_tokens(tokenizer, vocabulary, strip=file.architecture == "phi3" and kind == "llama")
    return tokenizer


def token_ids(file: GgufFile) -> dict[str, int]:
    """By role (bos, eos, unk, pad), those that the file has."""
    count = len(file.fields.get(f"{_PREFIX}tokens") or ())
    found = {role: file.fields.get(f"{_PREFIX}{name}_token_id") for role, name in _ROLES.items()}
    return {role: int(index) for role, index in found.items() if index is not None and int(index) < count}


def end_ids(file: GgufFile) -> list[int]:
    """Tokens that end an answer: the file's, and those that llama.cpp knows by their text."""
    own = [file.fields.get(f"{_PREFIX}{name}_token_id") for name in ("eos", "eot", "eom")]
    vocabulary = _vocabulary(file)
    named = [
        index
        for index, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if kind == Kind.CONTROL and token in _TURN_ENDS
    ]
    ids = [int(index) for index in own if index is not None and int(index) < len(vocabulary.tokens)]
    return list(dict.fromkeys([*ids, *named]))


def chat_templates(file: GgufFile) -> dict[str, str]:
    """Sources by name; ``default`` is the one for conversations that name none."""
    names = file.fields.get("tokenizer.chat_templates") or ()
    found = {str(name): file.fields.get(f"tokenizer.chat_template.{name}") for name in names}
    found["default"] = file.fields.get("tokenizer.chat_template", found.get("default"))
    return {name: source for name, source in found.items() if source}


def _vocabulary(file: GgufFile) -> Vocabulary:
    tokens = file.fields.get(f"{_PREFIX}tokens")
    if not isinstance(tokens, list) or not tokens:
        raise TokenizerError(f"{file.path} has no tokens ({_PREFIX}tokens)")
    kinds = file.fields.get(f"{_PREFIX}token_type") or [int(Kind.NORMAL)] * len(tokens)
    scores = file.fields.get(f"{_PREFIX}scores") or []
    if len(kinds) != len(tokens) or len(scores) not in (0, len(tokens)):
        raise TokenizerError(
            f"{file.path} has {len(tokens)} tokens, {len(kinds)} types and {len(scores)} scores of them: as many are "
            "needed of each"
        )
    return Vocabulary(tokens, kinds, scores)


def _numbered(file: GgufFile, tokens: Sequence[str]) -> dict[str, int]:
    numbered = {token: index for index, token in enumerate(tokens)}
    if len(numbered) < len(tokens):
        twice = next(token for index, token in enumerate(tokens) if numbered[token] != index)
        raise TokenizerError(f"{file.path} has two tokens {twice!r}; tokenizer.json can hold one of them")
    return numbered


def _byte_level(file: GgufFile, vocabulary: Vocabulary) -> Any:
    """BPE over bytes, as GPT-2 has it."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    name = file.fields.get(f"{_PREFIX}pre", "gpt-2" if file.architecture == "gpt2" else None)
    if name not in SPLITS:
        raise TokenizerError(f"{file.path}: {_PREFIX}pre is {name!r}; read are {', '.join(SPLITS)}")
    split = SPLITS[name]
    merges = file.fields.get(f"{_PREFIX}merges")
    if not isinstance(merges, list):
        raise TokenizerError(f"{file.path} has no merges of its tokens ({_PREFIX}merges)")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    try:
        model = models.BPE(_numbered(file, vocabulary.tokens), pairs, ignore_merges=split.whole)
    except Exception as error:  # tokenizers raises bare Exceptions
        raise TokenizerError(f"{file.path}: its merges do not fit its tokens: {error}") from error
    tokenizer = Tokenizer(model)
    if split.composes:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizer(split)
    tokenizer.decoder = decoders.ByteLevel()
    _surround(tokenizer, file, vocabulary, begins=split.begins)
    return tokenizer


def _sentencepiece(file: GgufFile, vocabulary: Vocabulary) -> Any:
    """SentencePiece's BPE: merges by the scores of what they make, and bytes for what no token has."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens = [_SPACE * len(token) if token and not token.strip(" ") else token for token in vocabulary.tokens]
    numbered = _numbered(file, tokens)
    parts = {
        token: index
        for (token, index), kind in zip(numbered.items(), vocabulary.kinds, strict=True)
        if kind in (Kind.NORMAL, Kind.USER_DEFINED)
    }
    if file.architecture.startswith("gemma"):  # whose scores do not follow its merges; the order of its tokens does
        scores = {token: -float(index) for token, index in parts.items()}
    elif vocabulary.scores:
        scores = {token: float(vocabulary.scores[index]) for token, index in parts.items()}
    else:
        raise TokenizerError(f"{file.path} has no scores of its tokens ({_PREFIX}scores)")
    merges = internal("transformers.convert_slow_tokenizer", "generate_merges")(parts, scores)
    unknown = next(iter(vocabulary.of(Kind.UNKNOWN)), None)
    has_bytes = Kind.BYTE in vocabulary.kinds
    model = models.BPE(numbered, merges, unk_token=unknown, fuse_unk=True, byte_fallback=has_bytes)
    tokenizer = Tokenizer(model)
    prefix = bool(file.fields.get(f"{_PREFIX}add_space_prefix", True))
    begin = [normalizers.Prepend(_SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*begin, normalizers.Replace(" ", _SPACE)])
    end = [decoders.Strip(" ", 1, 0)] if prefix else []
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *end]
    tokenizer.decoder = decoders.Sequence(steps)
    _surround(tokenizer, file, vocabulary, begins=True)
    return tokenizer


_BUILDERS: Mapping[str, Callable[[GgufFile, Vocabulary], Any]] = {"gpt2": _byte_level, "llama": _sentencepiece}
"""By ``tokenizer.ggml.model``."""


def _add_tokens(tokenizer: Any, vocabulary: Vocabulary, *, strip: bool) -> None:
    """Control tokens are special; those that somebody defined are whole wherever a text has them.

    Args:
        strip: whether they take the white space after them, as Phi-3's of turns do; a file does not say.
    """
    from tokenizers import AddedToken

    def added(tokens: Sequence[str]) -> list[AddedToken]:
        return [AddedToken(token, normalized=False, rstrip=strip and token not in _NO_TURNS) for token in tokens]

    tokenizer.add_special_tokens(added(vocabulary.of(Kind.CONTROL, Kind.UNKNOWN)))
    tokenizer.add_tokens(added([token for token in vocabulary.of(Kind.USER_DEFINED) if token.strip(" ")]))


def _surround(tokenizer: Any, file: GgufFile, vocabulary: Vocabulary, *, begins: bool) -> None:
    """Has texts begin, and end, with the tokens for that, as the file says."""
    from tokenizers import processors

    ids = token_ids(file)
    first = file.fields.get(f"{_PREFIX}add_bos_token", begins and "bos" in ids)
    last = file.fields.get(f"{_PREFIX}add_eos_token", False)
    for role, wanted in (("bos", first), ("eos", last)):
        if wanted and role not in ids:
            raise TokenizerError(
                f"{file.path}: {_PREFIX}add_{role}_token is true, and {_PREFIX}{role}_token_id names no token"
            )
    before = [vocabulary.tokens[ids["bos"]]] if first else []
    after = [vocabulary.tokens[ids["eos"]]] if last else []
    steps: list[Any] = []
    if file.fields.get(f"{_PREFIX}model") == "gpt2":
        steps.append(processors.ByteLevel(trim_offsets=False))
    if before or after:
        steps.append(
            processors.TemplateProcessing(
                single=[*before, "$A:0", *after],
                pair=[*before, "$A:0", *after, *(f"{token}:1" for token in before), "$B:1", *(f"{t}:1" for t in after)],
                special_tokens=[
                    (token, ids[role]) for role, part in (("bos", before), ("eos", after)) for token in part
                ],
            )
        )
    if steps:
        tokenizer.post_processor = processors.Sequence(steps)
