"""Traces a wrapped decoder into an ONNX graph. The only module that touches private parts of transformers and torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import onnx_ir as ir
import torch
from attendant.bundle import Target

from attendant_export.errors import UnsupportedModel
from attendant_export.graph.nodes import Editor, attribute, nodes_of
from attendant_export.memory import give_back, set_aside, weight_bytes
from attendant_export.progress import Step, no_step
from attendant_export.toolchain import internal
from attendant_export.tracing.attention import IMPLEMENTATION
from attendant_export.tracing.inputs import NamedModule, TracedInputs
from attendant_export.tracing.shortcuts import quick_rules, quick_tracing

OPSET = 21
_CHATTY = ("torch.onnx", "torch.export", "torch.fx", "torch.__trace", "onnxscript", "onnx_ir")
_EXPORTERS = "transformers.exporters"


class AttentionFunctions(Protocol):
    """What a model is made to call in place of its own attention and masks."""

    architecture: str

    def attention_function(self, *args: Any, **keywords: Any) -> tuple[torch.Tensor, None]: ...

    def mask_function(self, *args: Any, **keywords: Any) -> object: ...


@contextmanager
def fused_attention(model: Any, trace: AttentionFunctions, bypass: bool) -> Iterator[None]:
    """Makes ``model`` call the attention and mask functions of ``trace``; its own implementation is put back after.

    ``bypass``: the model's attention classes were replaced and its class refuses other implementations, so only the
    mask helper, which reads the config, has to be told.
    """
    internal("transformers", "AttentionInterface").register(IMPLEMENTATION, trace.attention_function)
    internal("transformers.masking_utils", "AttentionMaskInterface").register(IMPLEMENTATION, trace.mask_function)
    before = model.config._attn_implementation
    if bypass:
        model.config._attn_implementation_internal = IMPLEMENTATION
    else:
        try:
            model.set_attn_implementation(IMPLEMENTATION)
        except ValueError as error:
            reason = "its attention is not written against transformers' attention interface"
            raise UnsupportedModel(trace.architecture, reason) from error
    try:
        yield
    finally:
        if bypass:
            model.config._attn_implementation_internal = before
        else:
            model.set_attn_implementation(before)


def trace_to_onnx(
    wrapper: torch.nn.Module,
    arguments: tuple[Any, ...],
    dynamic_shapes: tuple[Any, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    target: Target = "cpu",
    step: Step = no_step,
) -> ir.Model:
    """The graph of ``wrapper(*arguments)``, fused for the ONNX Runtime provider of ``target``.

    Args:
        step: told what the trace is at.

    Raises:
        ToolchainError: torch or transformers are not the versions this module drives.
    """
    apply_patches = internal(f"{_EXPORTERS}.utils", "apply_patches")
    apply_fx_node_fixes = internal(f"{_EXPORTERS}.utils", "apply_fx_node_fixes")
    translations = internal(f"{_EXPORTERS}.exporter_onnx", "_ONNX_TRANSLATION_TABLE")
    name_outputs = internal(f"{_EXPORTERS}.exporter_onnx", "_name_graph_outputs")
    apply_ir_fixes = internal(f"{_EXPORTERS}.exporter_onnx", "apply_onnx_ir_fixes")
    set_aside(wrapper)  # a trace looks at shapes; what was read for a probe may go
    with torch.no_grad(), _quiet(), quick_tracing(), quick_rules():
        with apply_patches("dynamo"), apply_patches("onnx"):
            program = torch.export.export(wrapper, arguments, dynamic_shapes=dynamic_shapes, strict=False)
            apply_fx_node_fixes("onnx", program.graph_module)
            step("conversion to ONNX")
            exported = torch.onnx.export(
                program,
                args=(),
                kwargs={},
                input_names=list(input_names),
                output_names=list(output_names),
                opset_version=OPSET,
                custom_translation_table=translations,
                optimize=True,
                verbose=False,
            )
        assert exported is not None
        _free_names(exported.model.graph, output_names)
        name_outputs(exported.model.graph, list(output_names))
        apply_ir_fixes(exported)
        _fuse(exported.model, target, step)
    model: ir.Model = exported.model
    del program, exported
    give_back(weight_bytes(model.graph))
    return model


def trace_ports(
    module: NamedModule,
    inputs: TracedInputs,
    output_names: Sequence[str],
    target: Target = "cpu",
    step: Step = no_step,
) -> ir.Model:
    """The graph of ``module`` with these inputs; see :func:`trace_to_onnx`."""
    module.take(inputs)
    return trace_to_onnx(module.eval(), inputs.samples, inputs.shapes, inputs.names, output_names, target, step)


def _free_names(graph: ir.Graph, names: Sequence[str]) -> None:
    """Inner values, which are named after modules of the model, give way to the outputs."""
    inner = [*graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    for value in inner:
        if value.name in names and not value.is_graph_output():
            value.name = f"{value.name}_inside"


def _fuse(model: ir.Model, target: Target, step: Step) -> None:
    """transformers' fusions for ONNX Runtime, less two that its kernels reject."""
    fusions = f"{_EXPORTERS}.onnxruntime_fusions"
    lossy = internal(fusions, "_unfuse_mixed_dtype_skip_norms")
    passes = internal(fusions, "_STEPS")
    for index, (fusion, providers) in enumerate(passes):
        if providers is None or target in providers:
            step(f"fusion {index + 1} of {len(passes)}")
            (unfuse_mixed_skip_norms if fusion is lossy else fusion)(model)
    # A FusedMatMul with a batch transpose and a rank-2 operand is refused at run time.
    internal(fusions, "_untranspose_batch_matmuls")(model)
    # The last skip-norm pass fuses anew what an earlier step took apart.
    unfuse_mixed_skip_norms(model)


def unfuse_mixed_skip_norms(model: ir.Model) -> None:
    """Takes a sum and its norm apart again where their types differ, which ONNX Runtime refuses.

    Stands in for transformers' own step, which forgets the bias that the sum may have as a third term.
    """
    editor = Editor(model.graph)
    for node in nodes_of(model.graph, "SkipSimplifiedLayerNormalization"):
        terms = [value for value in (*node.inputs[:2], *node.inputs[3:4]) if value is not None]
        scale, normalised = node.inputs[2], node.outputs[0]
        assert scale is not None
        if len({value.dtype for value in (*terms, scale)}) == 1:
            continue
        total = terms[0]
        for term in terms[1:]:
            total = editor.before(node, "Add", [total, term])
            total.shape, total.dtype = terms[0].shape, terms[0].dtype
        epsilon = attribute(node, "epsilon", 1e-5)
        inputs = [total, scale]
        norm = editor.before(
            node, "SimplifiedLayerNormalization", inputs, axis=-1, stash_type=1, epsilon=float(epsilon)
        )
        editor.redirect(normalised, norm)
        if len(node.outputs) > 3:
            editor.redirect(node.outputs[3], total)
        model.graph.remove(node, safe=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns about matters of its own that no user of the exporter can act on."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
