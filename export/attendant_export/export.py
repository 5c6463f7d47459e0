"""The stages of an export, in order: load, trace, rewrite, quantise, write, verify, seal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import onnx_ir as ir
from attendant.bundle import TOKENIZER_FILE, BundleManifest, DType, Graph, KVLayer, Precision, Source, TensorSpec

from attendant_export import source as sources
from attendant_export.architectures import check_model, context_length
from attendant_export.attention import AttentionLayer
from attendant_export.decoder import trace_decoder
from attendant_export.errors import ExportError
from attendant_export.facts import generation_defaults, special_tokens
from attendant_export.passes import rewrite
from attendant_export.progress import Progress, silent
from attendant_export.quantise import quantise
from attendant_export.toolchain import exporter_version, versions
from attendant_export.verify import verify
from attendant_export.writer import bundle_folder, check_output, file_entries, write_manifest

DECODER_FILE = "decoder.onnx"
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "int4")
_DTYPES: dict[ir.DataType, DType] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.INT32: "int32",
    ir.DataType.INT64: "int64",
}


def export_bundle(
    source: str | Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    name: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BundleManifest:
    """Exports a model folder or hub id to a bundle at ``out`` and returns its manifest.

    Raises:
        ExportError: see :mod:`attendant_export.errors`; nothing is left at or beside ``out`` but what was there.
    """
    check_output(out, overwrite=overwrite)
    with progress("load"):
        loaded = sources.load(str(source), revision)
    return export_model(
        loaded.model,
        loaded.tokenizer_json,
        out,
        precision=precision,
        name=name or loaded.source_id.rsplit("/", 1)[-1],
        source=Source(id=loaded.source_id, revision=loaded.revision, versions=versions()),
        chat_template=loaded.chat_template,
        tokenizer_config=loaded.tokenizer_config,
        overwrite=overwrite,
        progress=progress,
    )


def export_model(
    model: Any,
    tokenizer_json: str,
    out: Path,
    *,
    precision: Precision = "fp32",
    name: str | None = None,
    source: Source | None = None,
    chat_template: str | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BundleManifest:
    """Exports a transformers causal language model (float32, eager attention) that is in memory.

    Args:
        tokenizer_json: content of a tokenizer.json.
        name: of the bundle; by default the name of ``out``.
        tokenizer_config: content of a tokenizer_config.json, for the special tokens a config leaves out.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    from tokenizers import Tokenizer

    if precision not in PRECISIONS:
        raise ExportError(f"unknown precision {precision!r}; allowed: {', '.join(PRECISIONS)}")
    check_model(model)
    tokenizer = Tokenizer.from_str(tokenizer_json)
    length = context_length(model)
    name = bundle_name(name or out.absolute().name)
    with bundle_folder(out, overwrite=overwrite) as folder:
        graph, layers = _write_graph(model, folder, precision, length, progress)
        (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
        with progress("verify"):
            parity = verify(
                model,
                folder / graph.file,
                graph,
                layers,
                precision=precision,
                context_length=length,
                encode=lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
            )
        with progress("seal"):
            manifest = BundleManifest(
                name=name,
                task="generate",
                architecture=str(model.config.model_type),
                target="cpu",
                precision=precision,
                graphs={"decoder": graph},
                kv_layers=layers,
                context_length=length,
                vocab_size=_vocab_size(graph),
                special_tokens=special_tokens(model, tokenizer, tokenizer_config or {}),
                generation_defaults=generation_defaults(model),
                chat_template=chat_template,
                files=file_entries(folder),
                parity=parity,
                source=source or Source(id=name, versions=versions()),
                exporter_version=exporter_version(),
            )
            write_manifest(folder, manifest)
    return manifest


def bundle_name(name: str) -> str:
    """``name`` with what a bundle's name may not hold replaced by hyphens."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:128]
    return clean or "model"


def _write_graph(
    model: Any, folder: Path, precision: Precision, length: int, progress: Progress
) -> tuple[Graph, tuple[KVLayer, ...]]:
    """Traces, rewrites, quantises and saves the decoder graph."""
    with progress("trace"):
        traced = trace_decoder(model, length)
    with progress("rewrite"):
        rewrite(traced.model, length)
    if precision in ("int8", "int4"):
        with progress("quantise"):
            quantise(traced.model, precision)
    with progress("write"):
        ir.save(traced.model, folder / DECODER_FILE, external_data=f"{DECODER_FILE}.data")
    return describe(traced.model.graph, DECODER_FILE), kv_layers(traced.layers)


def describe(graph: ir.Graph, file: str) -> Graph:
    """The manifest entry of a graph."""

    def spec(value: ir.Value) -> TensorSpec:
        assert value.name is not None
        assert value.shape is not None
        assert value.dtype is not None
        shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
        return TensorSpec(name=value.name, dtype=_DTYPES[value.dtype], shape=shape)

    return Graph(file=file, inputs=tuple(map(spec, graph.inputs)), outputs=tuple(map(spec, graph.outputs)))


def kv_layers(layers: Sequence[AttentionLayer]) -> tuple[KVLayer, ...]:
    """The cache layout as the manifest has it."""
    return tuple(
        KVLayer(
            num_kv_heads=layer.num_kv_heads, head_size=layer.head_size, dtype=get_args(DType)[0], window=layer.window
        )
        for layer in layers
    )


def _vocab_size(graph: Graph) -> int:
    width = next(spec.shape[-1] for spec in graph.outputs if spec.name == "logits")
    assert isinstance(width, int)
    return width
