"""What a manifest says of the graphs that give a model's attention."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from attendant.bundle.section import Section
from attendant.core.attention import AttentionKind

__all__ = ["AttentionKind", "AttentionLayers", "AttentionManifest", "AttentionOrigin", "Patches"]

AttentionOrigin = Literal["fused", "eager"]


class AttentionLayers(Section):
    """The attention calls of one kind, in the order of the model's layers; a hybrid's layers that do not attend are
    left out and not counted."""

    kind: AttentionKind
    num_layers: int = Field(ge=1)
    num_heads: int = Field(ge=1)


class Patches(Section):
    """Where the tokens of an image lie: ``num_prefix`` special ones, then ``rows`` times ``columns`` patches, row by
    row."""

    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    num_prefix: int = Field(ge=0)


class AttentionManifest(Section):
    """What the graph ``attention`` gives; an encoder-decoder's source has ``attention_source`` besides, if its own
    attention is given, too.

    Attributes:
        origin: ``fused``: the served graph with outputs of its own attention nodes, over the served weights; ``eager``:
            a graph of its own with weights in float32, which reads a whole sequence at once.
        kinds: what there is.
        max_abs_error: the largest difference of a weight from the source model's (torch, eager attention), measured at
            export; None: nobody looked.
        patches: of a model that reads images, if they lie in a grid.
        frame_s: what a key of ``cross`` lasts, seconds; of a model that reads recordings.
    """

    origin: AttentionOrigin
    kinds: tuple[AttentionLayers, ...] = Field(min_length=1)
    max_abs_error: float | None = None
    patches: Patches | None = None
    frame_s: float | None = None

    def layers(self, kind: AttentionKind) -> AttentionLayers | None:
        """What there is of ``kind``."""
        return next((found for found in self.kinds if found.kind == kind), None)
