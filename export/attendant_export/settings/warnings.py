"""What generation_config.json says that is not served as it says it."""

from __future__ import annotations

from typing import Any

from attendant_export.settings.defaults import known_ids, raw_biases, setting
from attendant_export.settings.table import SETTINGS

_TOKENS = ("suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id")
_BY_NAME = {each.name: each for each in SETTINGS}


def setting_warnings(model: Any) -> tuple[str, ...]:
    """One sentence for each setting of a model that answers do not follow; none where all are honoured."""
    config = model.generation_config
    found = {name: value for name, value in (config.to_dict() if config is not None else {}).items() if _is_set(value)}
    lines = []
    for name, value in found.items():
        each = _BY_NAME.get(name)
        if each is None:
            lines.append(f"{name} is no setting of transformers' generate, and has no effect")
        elif each.treatment == "warned" and value not in each.off:
            lines.append(f"{name} is not honoured: {each.words}")
    if setting(model, "do_sample") and (setting(model, "num_beams") or 1) > 1:
        lines.append("num_beams is not honoured beside do_sample: there is no sampling with beams; answers are sampled")
    if setting(model, "do_sample") and setting(model, "temperature") == 0:
        lines.append("temperature is 0 beside do_sample, which generate refuses: answers are greedy")
    lines += _unknown_tokens(model)
    return tuple(f"generation_config.json: {line}" for line in lines)


def _is_set(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def _unknown_tokens(model: Any) -> list[str]:
    """Token ids that the model has not: they can neither be chosen nor kept from it."""
    lines = []
    for name in _TOKENS:
        value = setting(model, name)
        several = value if isinstance(value, list | tuple) else [] if value is None else [value]
        strange = sorted({token for token in several if token >= 0} - set(known_ids(model, value)))
        if strange:
            lines.append(f"{name} has tokens that the model has not, which are left out: {_some(strange)}")
    words = [*(setting(model, "bad_words_ids") or ()), *(word for word, _ in raw_biases(model))]
    strange = sorted({token for word in words for token in word} - set(known_ids(model, [t for w in words for t in w])))
    if strange:
        lines.append(f"bad_words_ids or sequence_bias has tokens that the model has not: {_some(strange)}; left out")
    return lines


def _some(tokens: list[int]) -> str:
    shown = ", ".join(str(token) for token in tokens[:5])
    return f"{shown} and {len(tokens) - 5} more" if len(tokens) > 5 else shown
