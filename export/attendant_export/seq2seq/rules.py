"""How answers begin, end and are chosen by default, as a model's generation_config.json says.

Where a folder has none, transformers makes it of config.json. Otherwise config.json is not read but for the decoder's
start token, as transformers' ``generate`` does: its classes have defaults that mean tokens of other vocabularies.
"""

from __future__ import annotations

from typing import Any

from attendant.bundle import GenerationDefaults, Seq2SeqRules

from attendant_export.errors import UnsupportedModel
from attendant_export.settings.defaults import known_ids, setting, shared_settings, suppressed_ids


def start_token(model: Any) -> Any:
    """What the decoder starts with, or None: of generation_config.json, or else config.json."""
    configs = (model.generation_config, model.config)
    names = ("decoder_start_token_id", "bos_token_id")
    found = (getattr(config, name, None) for name in names for config in configs)
    return next((token for token in found if token is not None), None)


def seq2seq_rules(model: Any) -> Seq2SeqRules:
    """Tokens that answers begin and end with, and those that they never hold.

    Raises:
        UnsupportedModel: nothing says what the decoder starts with.
    """
    start = start_token(model)
    if start is None:
        raise UnsupportedModel(str(model.config.model_type), "its config has no decoder_start_token_id")
    return Seq2SeqRules(
        start=tuple(start) if isinstance(start, list | tuple) else (int(start),),
        forced_first=_one(setting(model, "forced_bos_token_id")),
        forced_last=min(known_ids(model, setting(model, "forced_eos_token_id")), default=None),
        suppressed=suppressed_ids(model),
        suppressed_first=known_ids(model, setting(model, "begin_suppress_tokens")),
    )


def seq2seq_defaults(model: Any) -> GenerationDefaults:
    """What a request leaves out."""
    limit, whole = setting(model, "max_new_tokens"), setting(model, "max_length")
    if limit is None and isinstance(whole, int):
        limit = max(1, whole - 1)  # it counts the decoder's start token, and so does min_length
    least = setting(model, "min_new_tokens")
    least = int(least) if least is not None else int(setting(model, "min_length") or 0) - 1
    return GenerationDefaults(**shared_settings(model), max_tokens=limit, min_tokens=max(0, least))


def _one(token: Any) -> int | None:
    """The first of several; transformers takes a list of end tokens, too."""
    if isinstance(token, list | tuple):
        token = next(iter(token), None)
    return None if token is None else int(token)
