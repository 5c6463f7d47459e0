"""What a bundle says about a model beside its graph: special tokens."""

from __future__ import annotations

from typing import Any

from attendant.bundle import SpecialTokens


def special_tokens(model: Any, tokenizer: Any, tokenizer_config: dict[str, Any]) -> SpecialTokens:
    """The special tokens of generation_config.json, else config.json, else tokenizer_config.json, token by token."""

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
