"""What an encoder-decoder reads, from what callers send, within the model's limits, and how its answer begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attendant.bundle import AudioSource, GeneratorManifest, Languages, TextSource
from attendant.bundle.graph_io import PACKED, SPECTRA
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt, Translation
from attendant.core.source import Source
from attendant.models.text import TextCodec
from attendant.tasks.known_ids import check_known

Opening = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class DecoderStart:
    """The tokens that an answer continues, and which tokens it has to begin with."""

    prompt: tuple[int, ...]
    opening: Opening = ()


def text_source(
    manifest: GeneratorManifest, text: TextCodec, prompt: TextPrompt | TokenPrompt, translation: Translation | None
) -> Source:
    """The tokens of a text with those that the model wants around them; token ids are taken as they are.

    Raises:
        InvalidRequest: the text is empty, too long or has tokens that the model does not know, a language is not known,
            or the model does not read text.
    """
    spec = manifest.encoder_input
    if not isinstance(spec, TextSource):
        raise InvalidRequest("text", "is not what this model reads: send sound to Speech.Transcribe")
    if isinstance(prompt, TokenPrompt):
        field, ids = "token_ids", list(prompt.token_ids)
    else:
        field = "text"
        if not prompt.text.strip():
            raise InvalidRequest("text", "is empty; allowed: at least one character that is not a space")
        ids = _text_ids(manifest, text, prompt, translation, spec.max_length)
    if not ids:
        raise InvalidRequest(field, "has no tokens; allowed: at least one")
    if len(ids) > spec.max_length:
        raise InvalidRequest(field, f"has {len(ids)} tokens; allowed: at most {spec.max_length}")
    check_known(text.tokenizer, ids, spec.vocab_size or manifest.vocab_size, field)
    return Source({PACKED.input_ids.name: np.array(ids, np.int64)}, len(ids))


def decoder_start(manifest: GeneratorManifest, translation: Translation | None) -> DecoderStart:
    """How the answer begins.

    Raises:
        InvalidRequest: the target language is not known, or not told.
    """
    answer = manifest.answer
    assert answer is not None
    prompt = answer.start
    forced: Opening = () if answer.forced_first is None else ((answer.forced_first,),)
    token = _target(manifest.languages, translation)
    if manifest.languages is None or token is None or manifest.languages.target == "source":
        return DecoderStart(prompt, forced)
    if manifest.languages.target == "start":
        return DecoderStart((*prompt[:-1], token), forced)
    return DecoderStart(prompt, ((token,),))


def sample_source(manifest: GeneratorManifest, num_tokens: int = 16) -> Source | None:
    """A text of so many tokens at most, or silence, for an encoder-decoder; None for other models."""
    match manifest.encoder_input:
        case TextSource(max_length=length):
            length = min(num_tokens, length)
            return Source({PACKED.input_ids.name: np.zeros(length, np.int64)}, length)
        case AudioSource(num_mel_bins=bins, num_frames=frames, max_length=length):
            return Source({SPECTRA.input_features.name: np.zeros((bins, frames), np.float32)}, length)
    return None


def _text_ids(
    manifest: GeneratorManifest, text: TextCodec, prompt: TextPrompt, translation: Translation | None, limit: int
) -> list[int]:
    languages = manifest.languages
    if languages is None:
        _target(languages, translation)
        return list(text.tokenize(prompt, limit).token_ids)
    ids = list(text.tokenize(TextPrompt(prompt.text, add_special_tokens=False), limit).token_ids)
    if not prompt.add_special_tokens:
        return ids
    parts: list[int] = []
    for part in languages.source:
        match part:
            case "language":
                parts.append(_token(languages, "source_language", translation, languages.default_source))
            case "text":
                parts += ids
            case "eos":
                parts += manifest.special_tokens.eos[:1]
    target = _target(languages, translation)
    return parts if languages.target != "source" or target is None else [target, *parts]


def _target(languages: Languages | None, translation: Translation | None) -> int | None:
    """The target language's token; None for models that translate into one language only."""
    if languages is None:
        asked = translation and (translation.target_language or translation.source_language)
        if asked:
            raise InvalidRequest(
                "translation", f"names the language {asked[:100]!r}; this model has no choice of languages"
            )
        return None
    return _token(languages, "target_language", translation, languages.default_target)


def _token(languages: Languages, field: str, translation: Translation | None, default: str | None) -> int:
    code = (getattr(translation, field) if translation is not None else "") or default
    known = ", ".join(sorted(languages.tokens))
    if not code:
        raise InvalidRequest(field, f"is empty; this model has to be told; allowed: {known}")
    if code not in languages.tokens:
        raise InvalidRequest(field, f"is {code[:100]!r}; allowed: {known}")
    return languages.tokens[code]
