"""How answers begin, end and are chosen by default, as a model's generation_config.json says.

Where a folder has none, transformers makes it of config.json. Otherwise config.json is not read but for the decoder's
start token, as transformers' ``generate`` does: its classes have defaults that mean tokens of other vocabularies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from attendant.bundle import AnswerRules, GenerationDefaults

from attendant_export.errors import UnsupportedModel
from attendant_export.facts import generation_defaults

_EARLY: dict[object, Literal["heuristic", "first", "never"]] = {True: "first", False: "heuristic", "never": "never"}


def setting(model: Any, name: str) -> Any:
    """A value of generation_config.json, or None."""
    return getattr(model.generation_config, name, None)


def start_token(model: Any) -> Any:
    """What the decoder starts with, or None: of generation_config.json, or else config.json."""
    configs = (model.generation_config, model.config)
    names = ("decoder_start_token_id", "bos_token_id")
    found = (getattr(config, name, None) for name in names for config in configs)
    return next((token for token in found if token is not None), None)


def answer_rules(model: Any) -> AnswerRules:
    """Tokens that answers begin and end with, and those that they never hold.

    Raises:
        UnsupportedModel: nothing says what the decoder starts with.
    """
    start = start_token(model)
    if start is None:
        raise UnsupportedModel(str(model.config.model_type), "its config has no decoder_start_token_id")
    words = (word[0] for word in setting(model, "bad_words_ids") or () if len(word) == 1)
    return AnswerRules(
        start=tuple(start) if isinstance(start, list | tuple) else (int(start),),
        forced_first=_one(setting(model, "forced_bos_token_id")),
        forced_last=_one(setting(model, "forced_eos_token_id")),
        suppressed=_ids((*(setting(model, "suppress_tokens") or ()), *words)),
        suppressed_first=_ids(setting(model, "begin_suppress_tokens") or ()),
    )


def answer_defaults(model: Any) -> GenerationDefaults:
    """What a request leaves out."""
    beams, penalty, early = (setting(model, name) for name in ("num_beams", "length_penalty", "early_stopping"))
    limit, whole = setting(model, "max_new_tokens"), setting(model, "max_length")
    if limit is None and isinstance(whole, int):
        limit = max(1, whole - 1)  # it counts the decoder's start token, and so does min_length
    least = setting(model, "min_new_tokens")
    return generation_defaults(model).model_copy(
        update={
            "num_beams": int(beams or 1),
            "length_penalty": 1.0 if penalty is None else float(penalty),
            "early_stopping": _EARLY.get(early, "heuristic"),
            "no_repeat_ngram_size": int(setting(model, "no_repeat_ngram_size") or 0),
            "max_tokens": limit,
            "min_tokens": max(0, int(least) if least is not None else int(setting(model, "min_length") or 0) - 1),
        }
    )


def _one(token: Any) -> int | None:
    """The first of several; transformers takes a list of end tokens, too."""
    if isinstance(token, list | tuple):
        token = next(iter(token), None)
    return None if token is None else int(token)


def _ids(tokens: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({int(token) for token in tokens if token >= 0}))
