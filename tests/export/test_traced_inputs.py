"""What a decoder's trace is given comes from what is declared of its graph, in the order of the graph's inputs."""

from __future__ import annotations

import pytest
import torch
from attendant.bundle.graph_io import PAGES, SLOTS, by_name
from attendant_export.decoders.layouts import CacheLayout, PageLayout, SlotLayout, outputs_of
from attendant_export.graph.ports import port_of
from attendant_export.seq2seq.layouts import PagedSeq2Seq, Seq2SeqLayout, SlotSeq2Seq
from attendant_export.tracing.attention import AttentionLayer
from attendant_export.tracing.inputs import Feeds, NamedModule

LAYERS = (AttentionLayer(4, 2, 8, None), AttentionLayer(6, 3, 24, None))


@pytest.mark.parametrize("layout", [SlotLayout(), PageLayout(), SlotSeq2Seq(), PagedSeq2Seq()])
def test_a_trace_has_the_declared_inputs(layout: CacheLayout | Seq2SeqLayout) -> None:
    inputs = layout.traced(sequence=5, context_length=64)
    for cache in layout.caches:
        inputs.add_cache(cache, LAYERS, torch.float16)
    *plain, pasts = inputs.samples[: len(layout.inputs) + 1]
    assert [*inputs.plain_names] == [port.name for port in layout.inputs]
    assert [sample.dtype for sample in plain] == [getattr(torch, str(port.dtype)) for port in layout.inputs]
    assert all(min(sample.shape) > 1 or 1 in port.dims for sample, port in zip(plain, layout.inputs, strict=True))
    for layer, call in zip(LAYERS, pasts, strict=True):
        for part in call:
            assert part.dtype == torch.float16
            assert {layer.num_kv_heads, layer.head_size} < set(part.shape)
    outputs = outputs_of(layout, *[len(LAYERS)] * len(layout.caches))
    assert outputs[:3] == ["logits", "present_key_0", "present_value_0"]
    for name in (*inputs.names, *outputs):
        found = port_of(layout, name)
        assert found is not None
        assert found.name == name
    assert port_of(layout, "hidden") is None


def test_a_module_computes_by_the_names_of_its_ports() -> None:
    class Sum(NamedModule):
        def compute(self, feeds: Feeds, *caches: object) -> tuple[torch.Tensor, int]:
            return feeds[SLOTS.input_ids.name] + feeds[SLOTS.position_ids.name], len(caches)

    inputs = SlotLayout().traced(sequence=5, context_length=64)
    inputs.add_cache(SlotLayout().caches[0], LAYERS, torch.float32)
    module = Sum()
    module.take(inputs)
    ids, *others = inputs.samples
    total, caches = module(ids + 2, others[0] + 3, *others[1:])
    assert (total == 5).all()
    assert caches == 1
    assert set(by_name(PAGES)) - set(inputs.plain_names), "pages have inputs of their own"
