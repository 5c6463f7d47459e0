"""What a bundle says about a model beside its graph: special tokens and generation defaults."""

from __future__ import annotations

from typing import Any

from attendant.bundle import GenerationDefaults, SpecialTokens


def special_tokens(model: Any, tokenizer: Any, tokenizer_config: dict[str, Any]) -> SpecialTokens:
    """From generation_config.json, else config.json, else tokenizer_config.json, token by token."""

    def ids(role: str) -> tuple[int, ...]:
        for config in (model.generation_config, model.config.get_text_config()):
            value = getattr(config, f"{role}_token_id", None)
            if value is not None:
                return tuple(value) if isinstance(value, (list, tuple)) else (int(value),)
        token = tokenizer_config.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        found = tokenizer.token_to_id(text) if isinstance(text, str) else None
        return () if found is None else (int(found),)

    return SpecialTokens(bos=next(iter(ids("bos")), None), eos=ids("eos"), pad=next(iter(ids("pad")), None))


def generation_defaults(model: Any) -> GenerationDefaults:
    """From generation_config.json; a model that does not sample is greedy, whatever else its file says."""
    config = model.generation_config
    if config is None:
        return GenerationDefaults()
    samples = bool(getattr(config, "do_sample", False))

    def number(name: str, default: float) -> float:
        value = getattr(config, name, None)
        return default if value is None else float(value)

    return GenerationDefaults(
        temperature=number("temperature", 1.0) if samples else 0.0,
        top_k=int(number("top_k", 0)) if samples else 0,
        top_p=number("top_p", 1.0) if samples else 1.0,
        min_p=number("min_p", 0.0) if samples else 0.0,
        repetition_penalty=number("repetition_penalty", 1.0),
        max_tokens=getattr(config, "max_new_tokens", None),
    )
