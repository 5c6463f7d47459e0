"""What a model gives of its attention, as messages."""

from __future__ import annotations

from attendant_proto.v1 import explain_pb2, models_pb2

from attendant.bundle import AttentionManifest, Patches
from attendant.core.attention import AttentionKind

KINDS: dict[AttentionKind, explain_pb2.AttentionKind] = {
    "self": explain_pb2.ATTENTION_KIND_SELF,
    "encoder": explain_pb2.ATTENTION_KIND_ENCODER,
    "cross": explain_pb2.ATTENTION_KIND_CROSS,
}


def attention_message(given: AttentionManifest | None) -> models_pb2.AttentionInfo | None:
    """What a caller may know of it; None for a model that gives none."""
    if given is None:
        return None
    layers = [
        models_pb2.AttentionLayers(kind=KINDS[each.kind], num_layers=each.num_layers, num_heads=each.num_heads)
        for each in given.kinds
    ]
    return models_pb2.AttentionInfo(
        source=given.origin,
        kinds=layers,
        max_abs_error=given.max_abs_error,
        grid=grid_message(given.patches),
        frame_s=given.frame_s or 0.0,
    )


def grid_message(patches: Patches | None) -> explain_pb2.Grid | None:
    """Where the patches of an image lie."""
    if patches is None:
        return None
    return explain_pb2.Grid(rows=patches.rows, columns=patches.columns, num_prefix=patches.num_prefix)
