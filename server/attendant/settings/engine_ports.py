"""The setting that gives models ports of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field

from attendant.settings.section import Section


class EnginePort(Section):
    """A port that serves one model to gateways that speak vLLM's gRPC; 0 picks a free one. ``model``: its name, perhaps
    with a version, as in name@2."""

    port: Annotated[int, Field(ge=0, le=65535)]
    model: Annotated[str, Field(min_length=1)]

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``PORT=MODEL`` says. Raises ValueError."""
        port, equals, model = (part.strip() for part in text.partition("="))
        if not (equals and port.isdecimal() and int(port) <= 65535 and model):
            raise ValueError(f"has {text!r}; allowed: PORT=MODEL, with a port of 0 to 65535")
        return cls(port=int(port), model=model)

    @classmethod
    def parse_all(cls, texts: Sequence[str]) -> tuple[Self, ...]:
        """What several say. Raises ValueError, also for a port that two of them have."""
        found = tuple([cls.parse(text) for text in texts])
        numbers = [each.port for each in found if each.port]
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise ValueError(f"has port {min(twice)} twice; allowed: one model for each")
        return found
