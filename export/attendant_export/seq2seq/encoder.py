"""The graph that reads sources: the encoder, and the keys and values that the decoder makes of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from attendant.bundle import AudioSource, SourceLayout, Target, TextSource
from attendant.bundle.graph_io import (
    PACKED,
    PADDED,
    PAGE_ENCODED,
    SLOT_ENCODED,
    SPECTRA,
    PackedRows,
    SpectrumRows,
    by_name,
    grouped,
    symbols_of,
)

from attendant_export.encoders.attention import PaddedView
from attendant_export.encoders.passes import rewrite_encoder
from attendant_export.encoders.rows import dimensions_of, feeds_of
from attendant_export.encoders.trace import Dimensions, Feeds, adopt_constants, switched
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.progress import Step, no_step
from attendant_export.seq2seq.attention import SourceAttention, heads_of
from attendant_export.seq2seq.overflow import ClampsAlways
from attendant_export.tracing.attention import AttentionLayer
from attendant_export.tracing.positions import Positions, told_positions
from attendant_export.tracing.trace import trace_to_onnx

Row = npt.NDArray[Any]  # tokens [length] int64, or input features [num_mel_bins, num_frames] float32
LAYOUTS: tuple[SourceLayout, ...] = ("packed", "padded")
_SAMPLE_LENGTHS = (9, 5, 3)  # of a trace: no two dimensions are alike
_ALLOWED = 2e-4  # of the spread of keys and values, between rows that run together and rows alone
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class SourceModule(torch.nn.Module):  # type: ignore[misc]
    """``model`` from the inputs of the graph ``encoder`` to its outputs, which
    :class:`attendant.bundle.GeneratorManifest` describes.

    ``layout``: of the rows; None for sound, whose rows are equally long. ``target``: the provider it is for.
    """

    def __init__(self, model: Any, layout: SourceLayout | None, target: Target = "cpu") -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.target = target
        self.attention = SourceAttention(str(model.config.model_type))
        self.positions = Positions()

    def forward(self, feeds: Feeds) -> list[torch.Tensor]:
        """The keys and values of each call of the decoder, each as :func:`heads_of` has them."""
        return _keys_and_values(self.model, self.attention, self._encode(feeds), self.target)

    def _encode(self, feeds: Feeds) -> torch.Tensor:
        """The encoder's output, [rows, length, hidden], or [1, num_tokens, hidden] where packed."""
        encoder = self.model.get_encoder()
        if self.layout is None:
            self.attention.start()
            return _hidden(encoder(feeds[SPECTRA.input_features.name].to(self.model.dtype)))
        if self.layout == "packed":
            rows: PackedRows[torch.Tensor] = grouped(PackedRows, feeds)
            self.attention.start(PaddedView(rows.pad_index, rows.unpad_index, rows.attention_mask))
            ids, mask = rows.position_ids, None
        else:
            mask = feeds[PADDED.attention_mask.name]
            self.attention.start(padding=mask)
            ids = torch.arange(mask.shape[1])[None]
        self.positions.start(ids)
        with told_positions(encoder, self.positions):
            return _hidden(encoder(input_ids=feeds[PACKED.input_ids.name], attention_mask=mask))


def source_feeds(source: TextSource | AudioSource, rows: Sequence[Row]) -> dict[str, Row]:
    """The inputs of the graph for ``rows``; one may not need all of them."""
    if isinstance(source, AudioSource):
        return by_name(SpectrumRows(input_features=np.stack(rows).astype(np.float32)))
    feeds = feeds_of(source.layout, rows, pad_id=source.pad_id, position_offset=source.position_offset)
    del feeds[PACKED.token_type_ids.name]
    return feeds


def find_layout(model: Any, source: TextSource, rows: Sequence[Row]) -> SourceLayout:
    """The first layout in which ``rows`` together give the keys and values that each gives alone.

    Raises:
        UnsupportedModel: none does; says how far off the last one was.
    """
    architecture = str(model.config.model_type)
    with failures_of(architecture):
        wanted = [torch.cat(parts, dim=1) for parts in zip(*(_captured(model, row) for row in rows), strict=True)]
    reason = "its sources cannot run together"
    for layout in LAYOUTS:
        feeds = source_feeds(source.model_copy(update={"layout": layout}), rows)
        module = SourceModule(model, layout).eval()
        try:
            with torch.no_grad(), switched(model, module.attention):
                found = module({name: torch.from_numpy(value) for name, value in feeds.items()})
        except UnsupportedModel as error:
            reason = error.reason
            continue
        except _FAILURES as error:
            reason = next(iter(str(error).strip().splitlines()), reason)
            continue
        if layout == "padded":
            places = np.flatnonzero(feeds[PADDED.attention_mask.name])
            found = [part[:, places] for part in found]
        error_size = _relative_error(found, wanted)
        if error_size <= _ALLOWED:
            return layout
        reason = f"sources that run together differ from sources alone by {error_size:.2g} of their spread"
    raise UnsupportedModel(architecture, reason)


def trace_source(
    model: Any,
    source: TextSource | AudioSource,
    layers: Sequence[AttentionLayer],
    target: Target = "cpu",
    step: Step = no_step,
) -> ir.Model:
    """The finished graph ``encoder`` in the model's dtype; ``step`` is told what the trace is at.

    Raises:
        UnsupportedModel: the model does something that cannot be traced.
        ToolchainError: torch or transformers are not the versions the exporter drives.
    """
    layout = None if isinstance(source, AudioSource) else source.layout
    module = SourceModule(model, layout, target).eval()
    samples = {name: torch.from_numpy(value) for name, value in source_feeds(source, _sample_rows(source)).items()}
    names = output_names(len(layers))
    encoded = (PAGE_ENCODED if target == "cuda" else SLOT_ENCODED).key
    dimensions = {**source_dimensions(layout), **dict.fromkeys(names, encoded.symbols)}
    shapes = tuple(
        {axis: torch.export.Dim.AUTO for axis, name in enumerate(dimensions[key]) if name is not None}
        for key in samples
    )
    architecture = module.attention.architecture
    with failures_of(architecture), switched(model, module.attention, emits_nodes=True), ClampsAlways():
        graph = trace_to_onnx(
            _Positional(module, list(samples)).eval(),
            tuple(samples.values()),
            (shapes,),
            list(samples),
            names,
            target,
            step,
        )
    adopt_constants(graph.graph)
    check_dynamic(graph.graph, dimensions, architecture)
    rewrite_encoder(graph, dimensions, target)
    return graph


def source_dimensions(layout: SourceLayout | None) -> Dimensions:
    """Names of the sizes of the graph's inputs."""
    return symbols_of(SPECTRA.input_features) if layout is None else dimensions_of(layout)


def output_names(num_layers: int) -> list[str]:
    """The names of keys and values, call by call."""
    return SLOT_ENCODED.names(num_layers)  # those for pages have the same names


def check_dynamic(graph: ir.Graph, dimensions: Dimensions, architecture: str) -> None:
    """Tracing with Dim.AUTO may settle for the sample's size.

    Raises:
        UnsupportedModel: it did.
    """
    for value in graph.inputs:
        assert value.shape is not None
        for name, size in zip(dimensions[str(value.name)], value.shape, strict=True):
            if name is not None and isinstance(size, int):
                raise UnsupportedModel(architecture, f"its graph takes one {name} only ({size}, of {value.name})")


class _Positional(torch.nn.Module):  # type: ignore[misc]
    """Takes by position what ``module`` takes by name."""

    def __init__(self, module: SourceModule, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        outputs: list[torch.Tensor] = self.module(dict(zip(self.names, tensors, strict=True)))
        return outputs


def _sample_rows(source: TextSource | AudioSource) -> list[Row]:
    if isinstance(source, AudioSource):
        return [np.zeros((source.num_mel_bins, source.num_frames), np.float32)] * 2
    return [np.full(length, source.pad_id + 1, np.int64) for length in _SAMPLE_LENGTHS]


def _captured(model: Any, row: Row) -> list[torch.Tensor]:
    """What one row alone gives with the model's own attention: keys and values as of the graph ``encoder``."""
    attention = SourceAttention(str(model.config.model_type))
    ids = torch.from_numpy(row)[None]
    with torch.no_grad():
        output = model.get_encoder()(input_ids=ids, attention_mask=torch.ones_like(ids))
        with switched(model, attention):
            return _keys_and_values(model, attention, _hidden(output))


def _keys_and_values(
    model: Any, attention: SourceAttention, hidden: torch.Tensor, target: Target = "cpu"
) -> list[torch.Tensor]:
    """What the decoder makes of the encoder's output when it is given tokens to answer with."""
    captured = attention.start_capture()
    two = torch.zeros(hidden.shape[0], 2, dtype=torch.int64)  # of one alone, LED makes no mask, which tells its calls
    model.get_decoder()(input_ids=two, encoder_hidden_states=hidden, use_cache=False)
    return [heads_of(part, target) for pair in captured for part in pair]


def _hidden(output: Any) -> torch.Tensor:
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


def _relative_error(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    if len(found) != len(wanted) or any(one.shape != other.shape for one, other in zip(found, wanted, strict=True)):
        return float("inf")
    pairs = zip(found, wanted, strict=True)
    return max(float((one - other).abs().max()) / max(1e-6, float(other.std())) for one, other in pairs)
