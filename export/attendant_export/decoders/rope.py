"""Rotary embeddings that change with the length of the longest sequence, and how far a scaling extends the context.

A graph has a table of angles, or computes them, by position_ids alone. Where frequencies depend on the length of the
sequence, position_ids tell which ones hold, as :class:`attendant.core.frequencies.Frequencies` describes. Where that
cannot be (pages, layers of several kinds, unusual modules), a bundle keeps the frequencies of the trained length, and
its context ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from attendant.bundle import LENGTH_BITS, ChangingFrequencies, Frequencies, Target

from attendant_export.toolchain import internal

_FIXED = "default"
_EXTENDING = ("linear", "dynamic", "yarn")
_PACKET = 16  # floats that a CPU computes together; what is left over has other last bits
_PROOF = 8  # positions

Angles = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@contextmanager
def fixed_frequencies(model: Any) -> Iterator[None]:
    """Keeps the frequencies of every rotary module of ``model`` as they are now. Undone on leaving."""
    changed: list[tuple[Any, Any]] = []
    try:
        for module in model.modules():
            rope_type = getattr(module, "rope_type", None)
            if isinstance(rope_type, str) and _varies(rope_type):
                changed.append((module, rope_type))
                module.rope_type = _FIXED
            elif isinstance(rope_type, dict) and any(_varies(kind) for kind in rope_type.values()):
                changed.append((module, rope_type))
                module.rope_type = {layer: _FIXED if _varies(kind) else kind for layer, kind in rope_type.items()}
        yield
    finally:
        for module, rope_type in changed:
            module.rope_type = rope_type


def extended_length(model: Any, length: int) -> int:
    """``length``, or what a scaling of rotary embeddings makes of it where the config does not count it in.

    Yarn counts from the trained length, linear and dynamic from the config's; llama3 and longrope are counted in.
    Scalings of some kinds of layers only extend nothing: such configs say what the whole takes.
    """
    for module in model.modules():
        if getattr(module, "rope_type", None) in _EXTENDING and getattr(module, "config", None) is not None:
            parameters = _parameters(module)
            factor = parameters.get("factor")
            trained = parameters.get("original_max_position_embeddings") or length
            if isinstance(factor, int | float) and factor > 1:
                return max(length, int(trained * factor))
    return length


def frequency_limit(model: Any) -> int | None:
    """How many positions keep the trained frequencies, or None where they never change."""
    limits = []
    for module in model.modules():
        rope_type = getattr(module, "rope_type", None)
        kinds = rope_type if isinstance(rope_type, dict) else {None: rope_type}
        for layer, kind in kinds.items():
            if isinstance(kind, str) and _varies(kind):
                parameters = module.config.rope_parameters
                parameters = parameters[layer] if layer is not None else parameters
                limits.append(int(parameters.get("original_max_position_embeddings") or module.original_max_seq_len))
    return min(limits, default=None)


def changing_frequencies(model: Any, target: Target) -> ChangingFrequencies | None:
    """How the frequencies of ``model`` change beyond :func:`frequency_limit`; None where a graph cannot follow."""
    after = frequency_limit(model)
    if after is None or target != "cpu":
        return None
    found = [_ways(module, after) for module in model.modules() if _changes(module)]
    if not found or any(way is None for way in found):
        return None
    kinds = {way.kind for way in found if way is not None}
    return ChangingFrequencies(kind=kinds.pop(), after=after) if len(kinds) == 1 else None


@contextmanager
def coded_frequencies(model: Any, changing: ChangingFrequencies) -> Iterator[None]:
    """Every rotary module reads position_ids as :class:`attendant.core.frequencies.Frequencies` has them."""
    replaced = []
    try:
        for module in model.modules():
            if _changes(module):
                way = _ways(module, changing.after)
                assert way is not None, "changing_frequencies has looked"
                module.forward = _forward(module, way.angles)
                replaced.append(module)
        yield
    finally:
        for module in replaced:
            del module.forward


@dataclass(frozen=True)
class _Way:
    kind: Literal["two", "each"]
    angles: Angles  # of (position_ids, x): cos and sin [batch, sequence, width]


def _ways(module: Any, after: int) -> _Way | None:
    """How the module's frequencies change, if its angles are what they usually are."""
    if not isinstance(module.rope_type, str) or getattr(module, "config", None) is None:
        return None
    way = _two(module, after) if module.rope_type == "longrope" else _each(module, after)
    return way if _agrees(module, way, after) else None


def _two(module: Any, after: int) -> _Way:
    """One set of frequencies up to ``after`` tokens, another beyond; Phi-3.5-MoE has scales by length besides."""
    parameters = _parameters(module)
    (short, scale), (long, _) = _computed(module, after), _computed(module, after + 1)
    scales = (scale, scale)
    if "short_mscale" in parameters:  # such modules use one set of frequencies, that of short sequences
        long = short
        scales = (float(parameters["short_mscale"]), float(parameters["long_mscale"]))

    def angles(positions: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        beyond = (positions >= after)[..., None]
        place = torch.where(beyond, positions[..., None] - after, positions[..., None]).float()
        waves = place * torch.where(beyond, long, short)
        both = torch.cat((waves, waves), dim=-1)
        scaled = torch.where(beyond, scales[1], scales[0])
        return (both.cos() * scaled).to(x.dtype), (both.sin() * scaled).to(x.dtype)

    return _Way("two", angles)


def _each(module: Any, after: int) -> _Way | None:
    """Frequencies of a base that grows with the length (dynamic NTK)."""
    parameters = _parameters(module)
    short, scale = _computed(module, after)
    width = 2 * len(short)
    if width % _PACKET or width <= 2:
        return None
    base, factor = float(parameters["rope_theta"]), float(parameters["factor"])
    trained = float(module.config.max_position_embeddings)
    exponents = torch.arange(0, width, 2, dtype=torch.float) / width

    def angles(positions: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = torch.div(positions, 2**LENGTH_BITS, rounding_mode="floor")
        place = (positions - length * 2**LENGTH_BITS)[..., None].float()
        grown = factor * torch.clamp(length, min=after).float() / trained - (factor - 1)
        bases = base * grown ** (width / (width - 2))
        waves = place / bases[..., None] ** exponents
        both = torch.cat((waves, waves), dim=-1)
        return (both.cos() * scale).to(x.dtype), (both.sin() * scale).to(x.dtype)

    return _Way("each", angles)


def _computed(module: Any, length: int) -> tuple[torch.Tensor, float]:
    """Frequencies [width / 2] and scale of transformers for sequences of ``length``."""
    functions = internal("transformers.modeling_rope_utils", "ROPE_INIT_FUNCTIONS")
    frequencies, scale = functions[module.rope_type](module.config, None, seq_len=length)
    return frequencies, float(scale)


def _agrees(module: Any, way: _Way | None, after: int) -> bool:
    """Whether the angles are the module's own, up to the trained length and beyond it."""
    if way is None:
        return False
    x = torch.zeros(1, 1, 1)
    for length in (after, after + 3):
        plain = torch.arange(length)[None]
        shift = Frequencies(way.kind, after).shift(length, length, 0)
        try:
            with torch.no_grad():
                wanted, found = module(x, plain), way.angles(plain + shift, x)
        except (TypeError, ValueError, KeyError, RuntimeError):
            return False
        if any(a.shape != b.shape or not torch.allclose(a, b, atol=1e-4) for a, b in zip(wanted, found, strict=True)):
            return False
    with torch.no_grad():
        module(x, torch.arange(_PROOF)[None])  # a dynamic module goes back to its first frequencies
    return True


def _forward(module: Any, angles: Angles) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    def forward(x: torch.Tensor, position_ids: torch.Tensor | None = None, **_: Any) -> tuple[Any, Any]:
        assert position_ids is not None
        return angles(position_ids, x)

    return forward


def _parameters(module: Any) -> Mapping[str, Any]:
    found = getattr(module.config, "rope_parameters", None) or {}
    return found if isinstance(found, Mapping) else {}


def _changes(module: Any) -> bool:
    rope_type = getattr(module, "rope_type", None)
    kinds = rope_type.values() if isinstance(rope_type, dict) else [rope_type]
    return any(_varies(kind) for kind in kinds)


def _varies(rope_type: object) -> bool:
    return isinstance(rope_type, str) and (rope_type == "longrope" or "dynamic" in rope_type)
