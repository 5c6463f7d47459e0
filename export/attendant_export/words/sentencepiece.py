"""tokenizer.json of translators whose folders have a SentencePiece model and a vocabulary of their own beside it.

SentencePiece cuts a text into pieces, and vocab.json numbers them: Marian's (Junczys-Dowmunt et al. 2018) for both
languages, of which source.spm knows one, and M2M100's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors

from attendant_export.errors import TokenizerError
from attendant_export.source.folder import SourceFolder
from attendant_export.toolchain import internal

_MODELS = {"marian": "source.spm", "m2m_100": "sentencepiece.bpe.model"}
_VOCABULARY = "vocab.json"
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_UNIGRAM, _BPE = 1, 2  # of trainer_spec.model_type
_NORMAL = 1  # of a piece's type
_SPACE = "\u2581"
# Before the tokens that are no pieces of the model and only stand for ids: no text has it where tokens are looked for.
_UNREACHABLE = " "
_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>")


def is_sentencepiece(folder: SourceFolder) -> bool:
    """Whether ``folder`` is of a kind that :func:`convert` knows: by its config, or by its files."""
    return _kind(folder) is not None


def convert(folder: SourceFolder) -> str:
    """tokenizer.json made of the SentencePiece model and the vocabulary of ``folder``.

    Raises:
        TokenizerError: it cannot be made; names the files that are missing.
    """
    kind = _kind(folder)
    assert kind is not None, "whoever converts has asked"
    file = _MODELS[kind]
    missing = [name for name in (file, _VOCABULARY) if not folder.has(name)]
    if missing:
        raise TokenizerError(f"{folder.path} has no tokenizer.json, and to make one {' and '.join(missing)} is missing")
    vocabulary: dict[str, int] = {token: int(index) for token, index in folder.json(_VOCABULARY).items()}
    added = [token for token in vocabulary if token in _SPECIAL or (token.startswith(">>") and token.endswith("<<"))]
    if kind == "m2m_100":
        languages = _languages(folder)
        vocabulary |= {token: len(vocabulary) + place for place, token in enumerate(languages)}
        added += languages
    return _build(folder.path / file, vocabulary, added)


def _kind(folder: SourceFolder) -> str | None:
    """The model type whose files the folder has, or ought to have."""
    model_type = folder.config.get("model_type")
    if model_type in _MODELS:
        return str(model_type)
    there = (kind for kind, file in _MODELS.items() if all(folder.has(name) for name in (file, _VOCABULARY)))
    return next(there, None)


def _build(path: Path, vocabulary: Mapping[str, int], added: Sequence[str]) -> str:
    proto = internal("transformers.convert_slow_tokenizer", "import_protobuf")().ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf raises an error of its own for each of its implementations
        raise TokenizerError(f"{path} cannot be read as a SentencePiece model: {error}") from error
    for token in ("<unk>", "</s>"):
        if token not in vocabulary:
            raise TokenizerError(f"{path.parent / _VOCABULARY} has no token {token}")
    tokenizer = Tokenizer(_model(path, proto, vocabulary, added))
    tokenizer.normalizer = _normalizer(proto.normalizer_spec)
    scheme = "always" if proto.normalizer_spec.add_dummy_prefix else "never"
    spaces = decoders.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_UNREACHABLE, ""), spaces])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in added])
    end = "</s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, vocabulary[end])]
    )
    return str(tokenizer.to_str())


def _normalizer(rules: Any) -> Any:
    """What SentencePiece does to a text before it cuts it: spaces alone are white space to it."""
    steps: list[Any] = [normalizers.Precompiled(rules.precompiled_charsmap)] if rules.precompiled_charsmap else []
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A +| +\z"), "")]
    if rules.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def _model(path: Path, proto: Any, vocabulary: Mapping[str, int], added: Sequence[str]) -> Any:
    scores = {piece.piece: float(piece.score) for piece in proto.pieces}
    fallback = bool(proto.trainer_spec.byte_fallback)
    if proto.trainer_spec.model_type == _UNIGRAM:
        normal = {piece.piece for piece in proto.pieces if piece.type == _NORMAL}
        least = min((scores[piece] for piece in normal), default=0.0)  # an unknown character scores a bit less
        by_id = {index: token for token, index in vocabulary.items()}
        places = [by_id.get(index, f"<unused {index}>") for index in range(max(by_id) + 1)]
        pieces = [
            (token, scores[token] if token in normal else least)
            if token in normal or token in added
            else (_UNREACHABLE + token, least)
            for token in places
        ]
        return models.Unigram(pieces, unk_id=vocabulary["<unk>"], byte_fallback=fallback)
    if proto.trainer_spec.model_type == _BPE:
        known = {token: score for token, score in scores.items() if token in vocabulary}
        merges = internal("transformers.convert_slow_tokenizer", "generate_merges")(dict(vocabulary), known)
        return models.BPE(dict(vocabulary), merges, unk_token="<unk>", fuse_unk=True, byte_fallback=fallback)
    raise TokenizerError(f"{path} is neither a unigram nor a BPE model")


def _languages(folder: SourceFolder) -> list[str]:
    """Tokens of M2M100's languages, which are numbered after those of vocab.json, in order."""
    for config in (folder.json(name, missing_ok=True) for name in _SETTINGS):
        found = config.get("additional_special_tokens") or config.get("extra_special_tokens")
        if isinstance(found, list) and found:
            return [str(token.get("content") if isinstance(token, dict) else token) for token in found]
    raise TokenizerError(
        f"{folder.path} has no tokenizer.json, and neither tokenizer_config.json nor special_tokens_map.json lists the "
        "tokens of its languages (additional_special_tokens) to make one"
    )
