"""Which graph of a model's attention a new bundle gets, and whether what it gives is the model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from attendant.bundle import AttentionKind, AttentionManifest, Graph, ImageInput, Manifest

from attendant_export.attention.existing import remove_attention
from attendant_export.attention.fused import Companions, frame_seconds, source_of, write_fused
from attendant_export.attention.reference import Look, look_torch
from attendant_export.attention.session import Array, Seen, check_rows, look_eager, look_fused, session_failures
from attendant_export.errors import AttentionError, ExportError, failures_of
from attendant_export.graph.attention import NoAttention
from attendant_export.progress import Step, no_step

AttentionChoice = Literal["auto", "fused", "eager", "none"]
CHOICES: tuple[AttentionChoice, ...] = get_args(AttentionChoice)
"""``auto``: fused where it goes, else none, so that no bundle grows by more than a small graph unasked."""

MAX_ERROR = 1e-5
"""Largest error of a weight in float32. Scores that are far apart are large numbers, whose rounding is larger, too:
where their standard deviation is above 2, as that of T5's may be, the error may be so many times as large."""

_USUAL_SPREAD, _NEXT_TO_NOTHING = 2.0, 1e-30

_HIDDEN_ERROR = 1e-3  # of hidden states in float32, in units of their spread
_ASK_FOR_EAGER = "--attention eager makes a graph of its own for it, with weights of its own in float32"


class Added(NamedTuple):
    """Graphs by name, and the manifest's section."""

    graphs: Mapping[str, Graph]
    section: AttentionManifest


def add_attention(
    folder: Path,
    manifest: Manifest,
    look: Look,
    choice: AttentionChoice,
    tell: Callable[[str], None],
    step: Step = no_step,
) -> Added | None:
    """What the bundle in ``folder`` gets, which is written there; None: nothing. ``manifest``: it without.

    In float32 every weight is within :data:`MAX_ERROR` or so of the model's; at other precisions the error is measured
    and kept. ``auto`` leaves out what cannot be made or is further off, and tells why.

    Raises:
        AttentionError: what was asked for cannot be made, or is further off; says why.
    """
    if choice == "none":
        return None
    try:
        made, seen = _eager(folder, manifest, look, step) if choice == "eager" else _fused(folder, manifest, look)
        error = _checked(manifest, made, seen, look)
    except (NoAttention, AttentionError) as reason:
        remove_attention(folder, manifest)
        if choice != "auto":
            hint = f"; {_ASK_FOR_EAGER}" if choice == "fused" else ""
            raise AttentionError(f"{manifest.name} cannot give its attention so: {reason}{hint}") from reason
        tell(f"no attention: {reason}; {_ASK_FOR_EAGER}")
        return None
    section = made.section(error, frame_seconds(source_of(manifest)) if "cross" in seen.weights else None)
    for line in made.left_out:
        tell(line)
    return Added(made.graphs, section)


def _fused(folder: Path, manifest: Manifest, look: Look) -> tuple[Companions, Seen]:
    made = write_fused(folder, manifest.graphs, source_of(manifest), _image(manifest))
    with session_failures():
        return made, look_fused(folder, manifest, {**manifest.graphs, **made.graphs}, look.inputs)


def _eager(folder: Path, manifest: Manifest, look: Look, step: Step) -> tuple[Companions, Seen]:
    from attendant_export.attention.eager import write_eager

    made = write_eager(folder, look, _image(manifest), step)
    with session_failures():
        return made, look_eager(folder, made.graphs["attention"], look.inputs)


def _image(manifest: Manifest) -> ImageInput | None:
    image = getattr(manifest, "input", None)
    return image if isinstance(image, ImageInput) else None


def _checked(manifest: Manifest, made: Companions, seen: Seen, look: Look) -> float | None:
    """The largest error of a weight; None where the model gives none in transformers."""
    try:
        with failures_of(manifest.architecture):
            wanted = look_torch(look)
    except ExportError as error:
        raise AttentionError(f"the model does not give it in transformers: {error}") from error
    exact = manifest.precision == "fp32" or made.origin == "eager"
    check_rows(seen)
    if exact and seen.hidden is not None and wanted.hidden is not None:
        _check_hidden(seen.hidden, wanted.hidden)
    kinds = [kind for kind in seen.weights if kind in wanted.weights]
    errors = [_error(kind, seen.weights[kind], wanted.weights[kind]) for kind in kinds]
    if not errors:
        return None
    allowed = MAX_ERROR * max(1.0, _score_spread(wanted) / _USUAL_SPREAD)
    if exact and not max(errors) <= allowed:
        found = f"its weights differ from the model's by up to {max(errors):.2g}"
        raise AttentionError(f"{found}; {allowed:.1g} is allowed")
    return max(errors)


def _score_spread(seen: Seen) -> float:
    """Standard deviation of scores, as far as weights tell them: their logarithms, but for those that are next to 0."""
    layers = [weights[weights > _NEXT_TO_NOTHING] for layers in seen.weights.values() for weights in layers]
    return max(float(np.log(weights).std()) for weights in layers)


def _error(kind: AttentionKind, found: list[Array], wanted: list[Array]) -> float:
    shapes = [[each.shape for each in layers] for layers in (found, wanted)]
    if shapes[0] != shapes[1]:
        described = " and ".join(f"{len(each)} layers of {each[0] if each else 'nothing'}" for each in shapes)
        raise AttentionError(f"its {kind} attention and the model's have different shapes: {described}")
    return max(float(np.abs(one - other).max()) for one, other in zip(found, wanted, strict=True))


def _check_hidden(found: Array, wanted: Array) -> None:
    if found.shape == wanted.shape:
        error = float(np.abs(found - wanted).max())
        if not error <= _HIDDEN_ERROR * max(1.0, float(wanted.std())):
            raise AttentionError(f"its hidden states are not what the model's head takes (they differ by {error:.2g})")
