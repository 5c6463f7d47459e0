"""The settings of generation_config.json as a bundle has them, with the meaning that ``generate`` gives them.

What a file leaves out is what ``generate`` takes then. The one exception is the greatest length, 20 new tokens there:
here an answer ends where the context does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from attendant.bundle import GenerationDefaults

from attendant_export.errors import SourceError

_EARLY: dict[object, Literal["heuristic", "first", "never"]] = {True: "first", False: "heuristic", "never": "never"}


def generation_defaults(model: Any) -> GenerationDefaults:
    """The defaults of a model that continues its prompt, from its ``generation_config``; without sampling it is greedy.

    Raises:
        SourceError: a setting that has another shape than transformers reads.
    """
    return GenerationDefaults(**shared_settings(model), **_lengths(model), **_token_rules(model))


def shared_settings(model: Any) -> dict[str, Any]:
    """Those that mean the same of encoder-decoders and of models that continue their prompt."""
    config = model.generation_config
    samples = bool(setting(model, "do_sample"))

    def number(name: str, default: float) -> float:
        value = getattr(config, name, None)
        if value is None or isinstance(value, bool):
            return default
        if not isinstance(value, int | float):
            raise SourceError(f"generation_config.json: {name} is {value!r}, which is no number")
        return float(value)

    end = setting(model, "forced_eos_token_id")
    return {
        "temperature": number("temperature", 1.0) if samples else 0.0,
        "top_k": int(number("top_k", 50)),
        "top_p": number("top_p", 1.0),
        "min_p": number("min_p", 0.0),
        "typical_p": number("typical_p", 1.0),
        "epsilon_cutoff": number("epsilon_cutoff", 0.0),
        "eta_cutoff": number("eta_cutoff", 0.0),
        "top_h": number("top_h", 0.0),
        "repetition_penalty": number("repetition_penalty", 1.0),
        "encoder_repetition_penalty": number("encoder_repetition_penalty", 1.0),
        "no_repeat_ngram_size": int(number("no_repeat_ngram_size", 0)),
        "encoder_no_repeat_ngram_size": int(number("encoder_no_repeat_ngram_size", 0)),
        "stop_strings": _strings(setting(model, "stop_strings")),
        "bad_words": tuple(word for word in bad_words(model) if len(word) > 1),
        "sequence_bias": tuple(_biases(model)),
        "length_decay": _decay(setting(model, "exponential_decay_length_penalty")),
        "num_beams": int(number("num_beams", 1)),
        "length_penalty": number("length_penalty", 1.0),
        "early_stopping": _EARLY.get(setting(model, "early_stopping"), "heuristic"),
        "renormalize": setting(model, "renormalize_logits") is True,
        "forced_last": min(known_ids(model, end), default=None),
    }


def setting(model: Any, name: str) -> Any:
    """A value of generation_config.json, or None."""
    return getattr(model.generation_config, name, None)


def known_ids(model: Any, tokens: Any) -> tuple[int, ...]:
    """A token or several, as a tuple, without those that the model has not."""
    if tokens is None:
        return ()
    several: Iterable[Any] = tokens if isinstance(tokens, list | tuple) else (tokens,)
    return tuple(sorted({int(token) for token in several if 0 <= token < _vocab_size(model)}))


def bad_words(model: Any) -> list[tuple[int, ...]]:
    """Sequences that never occur; an end-of-sequence token alone is none of them."""
    ends = setting(model, "eos_token_id")
    alone = {(token,) for token in (ends if isinstance(ends, list | tuple) else [ends])}
    words = [tuple(int(token) for token in word) for word in setting(model, "bad_words_ids") or ()]
    known = [word for word in words if word and all(0 <= token < _vocab_size(model) for token in word)]
    return [word for word in known if word not in alone]


def suppressed_ids(model: Any) -> tuple[int, ...]:
    """Tokens that never occur: ``suppress_tokens``, and the bad words of one token."""
    words = (word[0] for word in bad_words(model) if len(word) == 1)
    return known_ids(model, [*known_ids(model, setting(model, "suppress_tokens")), *words])


def raw_biases(model: Any) -> list[tuple[tuple[int, ...], float]]:
    """The entries of ``sequence_bias``, a list of pairs or a mapping."""
    found = setting(model, "sequence_bias") or ()
    pairs = found.items() if isinstance(found, dict) else found
    try:
        return [(tuple(int(token) for token in tokens), float(bias)) for tokens, bias in pairs]
    except (TypeError, ValueError):
        raise SourceError(
            "generation_config.json: sequence_bias is no list of pairs of token ids and a number, [[[12, 34], -1.5]]"
        ) from None


def _biases(model: Any) -> list[tuple[tuple[int, ...], float]]:
    size = _vocab_size(model)
    return [(word, bias) for word, bias in raw_biases(model) if word and all(0 <= token < size for token in word)]


def _lengths(model: Any) -> dict[str, Any]:
    newest, whole = setting(model, "max_new_tokens"), setting(model, "max_length")
    least = setting(model, "min_new_tokens")
    return {
        "max_tokens": newest,
        "max_length": whole if newest is None else None,
        "min_tokens": int(least or 0),
        "min_length": int(setting(model, "min_length") or 0) if least is None else 0,
    }


def _token_rules(model: Any) -> dict[str, Any]:
    return {
        "suppress_tokens": suppressed_ids(model),
        "begin_suppress_tokens": known_ids(model, setting(model, "begin_suppress_tokens")),
        "forced_first": next(iter(known_ids(model, setting(model, "forced_bos_token_id"))), None),
    }


def _strings(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(each) for each in value if each)


def _decay(value: Any) -> tuple[int, float] | None:
    if value is None:
        return None
    try:
        start, factor = value
        return int(start), float(factor)
    except (TypeError, ValueError):
        raise SourceError(
            f"generation_config.json: exponential_decay_length_penalty is {value!r}; it takes a start and a factor"
        ) from None


def _vocab_size(model: Any) -> int:
    head = model.get_output_embeddings()
    return int(head.weight.shape[0] if head is not None else model.config.get_text_config().vocab_size)
