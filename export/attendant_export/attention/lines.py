"""What was made of a model's attention, in words."""

from __future__ import annotations

from collections.abc import Iterable

from attendant.bundle import AttentionManifest


def lines_of(made: AttentionManifest, left_out: Iterable[str] = ()) -> list[str]:
    """A line that says what there is, and one for each thing that there is not."""
    kinds = ", ".join(f"{kind.kind} {kind.num_layers} x {kind.num_heads}" for kind in made.kinds)
    known = "not compared" if made.max_abs_error is None else f"within {made.max_abs_error:.1g} of the model's"
    where = "the served graph" if made.origin == "fused" else "a graph of its own"
    return [f"attention from {where}, layers x heads: {kinds}; {known}", *left_out]
