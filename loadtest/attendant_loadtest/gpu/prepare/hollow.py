"""A Llama as a bundle without its weights: a graph that says how large they are and where in a file they belong.

Three layers of true size are traced and the middle one is repeated in the graph, so that neither memory nor time grow
with the model.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import onnx_ir as ir
from attendant.bundle import TOKENIZER_FILE, GeneratorManifest, KVLayer, Origin, Parity, SpecialTokens
from attendant.bundle.graph_io import LOGITS
from attendant_export.decoders.decoder import trace_decoder
from attendant_export.decoders.graphs import kv_layers
from attendant_export.decoders.layouts import PageLayout
from attendant_export.graph.candidates import add_candidates
from attendant_export.graph.companions import copy_blocks_model, pick_rows_model
from attendant_export.graph.files import describe, file_of
from attendant_export.graph.passes import rewrite
from attendant_export.paged.bundle import reference_bundle
from attendant_export.toolchain import exporter_version, versions
from attendant_export.writer import file_entries, write_manifest

from attendant_loadtest.bench.bundles import tokenizer
from attendant_loadtest.gpu.prepare.repeat import TRACED_LAYERS, repeat_middle_layer
from attendant_loadtest.gpu.shapes import LlamaShape

DECODER_FILE = file_of("decoder")
DATA_FILE = f"{DECODER_FILE}.data"

_ALIGNMENT = 4096  # bytes


def write_hollow_bundle(shape: LlamaShape, out: Path, name: str, *, reference: bool) -> None:
    """Writes a bundle in bf16 to the folder ``out``; :func:`attendant_loadtest.gpu.fill.fill_bundle` completes it.

    Args:
        reference: write the copy that a processor can run, see :mod:`attendant_export.paged.bundle`. It takes
            memory for all weights.
    """
    model, layers = decoder(shape)
    if not reference:
        take_weights_out(model.graph)
        _write(model, layers, shape, out, name)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder)
        _write(model, layers, shape, whole, name)
        manifest = reference_bundle(whole, out)
    model = ir.load(out / DECODER_FILE)
    ir.external_data.load_to_model(model)  # all of it, before the file goes
    take_weights_out(model.graph)
    ir.save(model, out / DECODER_FILE)
    (out / DATA_FILE).unlink(missing_ok=True)
    write_manifest(out, manifest.model_copy(update={"files": file_entries(out)}))


def decoder(shape: LlamaShape) -> tuple[ir.Model, tuple[KVLayer, ...]]:
    """The decoder of a bundle, whose weight matrices are zeros, and its KV cache."""
    layout = PageLayout()
    traced_shape = dataclasses.replace(shape, layers=min(shape.layers, TRACED_LAYERS))
    traced = trace_decoder(_weightless(traced_shape), shape.context, layout)
    rewrite(traced.model, shape.context, layout, keep_tied=True)
    layers = kv_layers(traced.layers, "bfloat16")
    if shape.layers > TRACED_LAYERS:
        repeat_middle_layer(traced.model.graph, shape.layers)
        layers = layers[:1] * shape.layers  # all alike
    add_candidates(traced.model)
    return traced.model, layers


def take_weights_out(graph: ir.Graph) -> None:
    """Makes every matrix of zeros external data of a file that is not there."""
    offset = 0
    for value in graph.initializers.values():
        tensor = value.const_value
        assert tensor is not None
        if len(tensor.shape) != 2 or tensor.dtype not in (ir.DataType.BFLOAT16, ir.DataType.FLOAT):
            continue
        if tensor.numpy().any():  # a table of positions
            continue
        length = int(tensor.nbytes)
        value.const_value = ir.ExternalTensor(
            DATA_FILE, offset, length, tensor.dtype, shape=tensor.shape, name=str(value.name), base_dir=""
        )
        offset += -(-length // _ALIGNMENT) * _ALIGNMENT


def _write(model: ir.Model, layers: tuple[KVLayer, ...], shape: LlamaShape, out: Path, name: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    logits = next(value for value in model.graph.outputs if value.name == LOGITS.name)
    files = {
        "decoder": (DECODER_FILE, model),
        "copy_blocks": (file_of("copy_blocks"), copy_blocks_model(2 * len(layers))),
        "pick_rows": (file_of("pick_rows"), pick_rows_model(logits)),
    }
    for file, part in files.values():
        ir.save(part, out / file)
    (out / TOKENIZER_FILE).write_text(tokenizer(shape.vocabulary).to_str(), encoding="utf-8")
    manifest = GeneratorManifest(
        name=name,
        task="generate",
        architecture="llama",
        target="cuda",
        precision="bf16",
        cache_layout="pages",
        graphs={key: describe(part.graph, file) for key, (file, part) in files.items()},
        kv_layers=layers,
        context_length=shape.context,
        vocab_size=shape.vocabulary,
        special_tokens=SpecialTokens(bos=1, eos=(2,), pad=0),
        files=file_entries(out),
        parity=Parity(max_abs_error=0, cosine=1, greedy_agreement=1, tolerance="none: random weights", cases=()),
        source=Origin(id=name, versions=versions()),
        exporter_version=exporter_version(),
    )
    write_manifest(out, manifest)


def _weightless(shape: LlamaShape) -> Any:
    """A model in bfloat16 whose matrices are zeros that take no memory, and whose norms are ones."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(**shape.config())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="eager").eval()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            zeros = torch.zeros((), dtype=old.dtype).expand(old.shape)
            new = torch.ones(old.shape, dtype=old.dtype) if old.ndim == 1 else zeros
            setattr(module, name, torch.nn.Parameter(new, requires_grad=False))
    if shape.tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    return model
