"""What of a bundle gives its model's attention: found when the model is loaded, opened when somebody asks."""

from __future__ import annotations

from pathlib import Path

from attendant.bundle import AttentionManifest, EncoderManifest, Manifest
from attendant.bundle.graph_io import ATTENTION, ATTENTION_SOURCE, HIDDEN, WEIGHTS
from attendant.core.attention import AttentionModel
from attendant.core.errors import BundleError
from attendant.engine.chunking import FreeCuts
from attendant.runtime.attention import EagerAttention, EncoderAttention
from attendant.runtime.decoder_attention import DecoderAttention
from attendant.runtime.session import SessionOptions, Shared


def attention_of(
    path: Path, manifest: Manifest, threads: int, *, spinning: bool = False, shared: Shared | None = None
) -> AttentionModel | None:
    """What gives the attention of the bundle at ``path``; None: it has no graph for that. Always on the host.

    Args:
        threads, spinning, shared: of a run, as the served graphs have.

    Raises:
        BundleError: the manifest speaks of a graph that is not there.
    """
    given = manifest.attention
    if given is None:
        return None
    needed = [ATTENTION, *([ATTENTION_SOURCE] if given.origin == "fused" and given.layers("encoder") else [])]
    for name in needed:
        if name not in manifest.graphs:
            raise BundleError(path, f"has a section 'attention', but no graph {name!r}: export the model again")
        if not (file := path / manifest.graphs[name].file).is_file():
            raise BundleError(file, "the file is missing from the bundle")
    _check_outputs(path, manifest, given)
    options = SessionOptions(threads, spinning, shared)
    if given.origin == "eager":
        return EagerAttention(path, manifest, given, options)
    if isinstance(manifest, EncoderManifest):
        return EncoderAttention(path, manifest, given, options)
    if manifest.cache_layout != "slots":
        raise BundleError(path, "has the attention of a cache in pages, whose graphs cannot give it: export it again")
    cuts = FreeCuts(tuple({2 * layer.head_size for layer in manifest.kv_layers}))  # ONNX Runtime's tiles
    return DecoderAttention(path, manifest, given, options, cuts.cuts)


def _check_outputs(path: Path, manifest: Manifest, given: AttentionManifest) -> None:
    graphs = [manifest.graphs[name] for name in (ATTENTION, ATTENTION_SOURCE) if name in manifest.graphs]
    found = {spec.name for graph in graphs for spec in graph.outputs}
    wanted = [WEIGHTS[kind.kind].at(layer).name for kind in given.kinds for layer in range(kind.num_layers)]
    if missing := [name for name in (HIDDEN.name, *wanted) if name not in found]:
        raise BundleError(path / graphs[0].file, f"does not give {missing[0]!r}, which the manifest speaks of")
