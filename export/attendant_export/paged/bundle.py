"""A copy of a bundle for NVIDIA GPUs that a CPU can run: same graph, same pages, PagedAttention as a function.

For tests, dry runs and a look at a bundle where there is no GPU. It is slow: every run copies the whole cache.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx_ir as ir
from attendant.bundle import MANIFEST_FILE, GeneratorManifest, KVLayer, read_manifest
from attendant.bundle.graph_io import LOGITS

from attendant_export.errors import ExportError
from attendant_export.graph.companions import pick_rows_model
from attendant_export.graph.files import describe
from attendant_export.paged.session import cache_dtype, save_reference
from attendant_export.writer import bundle_folder, file_entries, write_manifest


def reference_bundle(bundle: Path, out: Path, *, overwrite: bool = False) -> GeneratorManifest:
    """Writes the copy of ``bundle`` to ``out`` and returns its manifest.

    Raises:
        ExportError: the bundle is not for target cuda, or ``out`` is taken.
        BundleError: the bundle cannot be read.
    """
    manifest = read_manifest(bundle)
    if manifest.target != "cuda":
        raise ExportError(f"{bundle} is for target {manifest.target!r} and needs no reference; only cuda bundles do")
    decoder = manifest.graphs["decoder"].file
    skipped = {decoder, f"{decoder}.data", MANIFEST_FILE}
    with bundle_folder(out, overwrite=overwrite) as folder:
        for path in bundle.iterdir():
            if path.name not in skipped:
                shutil.copy2(path, folder / path.name)
        save_reference(bundle / decoder, folder / decoder)
        graph = ir.load(folder / decoder).graph
        pick = manifest.graphs["pick_rows"].file
        logits = next(value for value in graph.outputs if value.name == LOGITS.name)  # its type may have changed
        ir.save(pick_rows_model(logits), folder / pick)
        layers = tuple(
            KVLayer(
                num_kv_heads=layer.num_kv_heads,
                head_size=layer.head_size,
                dtype="float8e4m3fn" if layer.dtype == "float8e4m3fn" else str(cache_dtype(layer)),
                window=layer.window,
            )
            for layer in manifest.kv_layers
        )
        reference = manifest.model_copy(
            update={
                "target": "cpu",
                "graphs": {
                    **manifest.graphs,
                    "decoder": describe(graph, decoder),
                    "pick_rows": describe(ir.load(folder / pick).graph, pick),
                },
                "kv_layers": layers,
                "files": file_entries(folder),
            }
        )
        write_manifest(folder, reference)
    return reference
