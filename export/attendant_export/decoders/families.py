"""Trace-time patches for the few families whose attention does not go through transformers' attention interface.

Each patch replaces one method of one attention class for the time of a trace, keeps the projections of the original and
hands queries, keys and values to :meth:`AttentionTrace.attend`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from attendant_export.decoders import experts, llama4
from attendant_export.decoders.written_out import bart_forward, bert_forward, heads, roformer_forward
from attendant_export.tracing.attention import HEAD_MULTIPLE, AttentionTrace
from attendant_export.tracing.languages import ADAPTED, keep_default_language, only_adapter
from attendant_export.tracing.methods import Method, replaced

_POSITION_BASE = 256  # bfloat16 counts to it without a gap
_SLOPE_TERMS = 3


@dataclass(frozen=True)
class FamilyPatch:
    """``make(trace)`` gives the method that stands in for ``attention_class.method``; ``reason`` says why.

    The class is named with its file where its name alone could be another's.

    ``attends``: it is attention that does not go through the interface; otherwise something else of the model.
    """

    attention_class: str
    method: str
    make: Callable[[AttentionTrace], Method]
    reason: str
    attends: bool = True


def _scaled_attn(trace: AttentionTrace) -> Method:
    def attn(self: Any, query: Any, key: Any, value: Any, attention_mask: Any = None) -> Any:
        return trace.attend(query, key, value).transpose(1, 2), None

    return attn


def _openai_attn(trace: AttentionTrace) -> Method:
    def attn(self: Any, query: Any, key: Any, value: Any, *args: Any, **keywords: Any) -> Any:
        # Its keys come transposed; it merges heads of [batch, heads, sequence, head size].
        output = trace.attend(query, key.transpose(2, 3), value, scale=None if self.scale else 1.0)
        return [output.transpose(1, 2)]

    return attn


def _gpt_neo_attn(trace: AttentionTrace) -> Method:
    def attn(self: Any, query: Any, key: Any, value: Any, attention_mask: Any = None) -> Any:
        window = self.config.window_size if self.attention_type == "local" else None
        return trace.attend(query, key, value, scale=1.0, window=window).transpose(1, 2), None

    return attn


def _gemma3n_sparsity(trace: AttentionTrace) -> Method:
    """Keeps what lies above the quantile ``activation_sparsity`` of a normal distribution with the row's moments."""

    def sparse(self: Any, inputs: torch.Tensor) -> torch.Tensor:
        quantile = statistics.NormalDist().inv_cdf(float(self.activation_sparsity))
        mean = inputs.mean(dim=-1, keepdim=True)
        deviation = (inputs - mean).square().mean(dim=-1, keepdim=True).sqrt()
        return torch.nn.functional.relu(inputs - (mean + deviation * quantile))

    return sparse


def _aria_experts(trace: AttentionTrace) -> Method:
    def forward(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.flatten(0, 1)
        _, weights, chosen = self.router(tokens)
        routed = self.experts(tokens, chosen, weights).reshape(hidden_states.shape)
        return routed + self.shared_experts(hidden_states)

    return forward


def _alibi_attend(
    trace: AttentionTrace, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, slopes: Any, scale: float
) -> torch.Tensor:
    """Attention with ALiBi and no bias tensor: softmax((q k) * scale + slope * key position).

    Appends one block of channels to each head, [slope / scale, 0...] to queries and [position, 0...] to keys. The usual
    -slope * distance differs by a constant per row, which softmax ignores. In 16 bits both are split into parts that
    are exact there: positions into multiples of 256 and the rest, slopes into three terms.

    Returns:
        [batch, sequence, num_heads, head_size].
    """
    assert trace.position_ids is not None
    trace.uses_alibi = True
    batch, num_heads, sequence, head_size = query.shape
    slopes = slopes / scale
    if query.dtype == torch.float32:
        terms = [(slopes, trace.position_ids)]
    else:
        position = trace.position_ids.float()
        high = torch.floor(position * (1 / _POSITION_BASE))
        low = position - high * _POSITION_BASE
        parts = _split(slopes.float(), query.dtype, _SLOPE_TERMS)
        terms = [(part * _POSITION_BASE, high) for part in parts] + [(part, low) for part in parts]
    weights = [part.to(query.dtype).view(1, num_heads, 1, 1).expand(batch, -1, sequence, 1) for part, _ in terms]
    places = [at.to(key.dtype).view(-1, 1, sequence, 1).expand(batch, key.shape[1], sequence, 1) for _, at in terms]
    rest = (0, HEAD_MULTIPLE - len(terms))
    query = pad(torch.cat([query, *weights], dim=-1), rest)
    key = pad(torch.cat([key, *places], dim=-1), rest)
    return trace.attend(query, key, pad(value, (0, HEAD_MULTIPLE)), scale=scale)[..., :head_size]


def _split(values: torch.Tensor, dtype: torch.dtype, terms: int) -> list[torch.Tensor]:
    """Terms that ``dtype`` holds exactly and that sum to ``values``, largest first."""
    parts = []
    for _ in range(terms):
        parts.append(values.to(dtype).float())
        values = values - parts[-1]
    return parts


def _bloom_forward(trace: AttentionTrace) -> Method:
    from transformers.models.bloom.modeling_bloom import _get_alibi_slopes

    def forward(self: Any, hidden_states: Any, residual: Any, *args: Any, **keywords: Any) -> Any:
        query, key, value = self._reshape(self.query_key_value(hidden_states))
        slopes = _get_alibi_slopes(self.num_heads, hidden_states.device)
        output = _alibi_attend(trace, query, key, value, slopes, self.inv_norm_factor)
        return self.dense(output.flatten(2)) + residual, None

    return forward


def _mpt_forward(trace: AttentionTrace) -> Method:
    from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

    def forward(self: Any, hidden_states: Any, *args: Any, **keywords: Any) -> Any:
        packed = self.Wqkv(hidden_states)
        if self.clip_qkv:
            packed = packed.clamp(min=-self.clip_qkv, max=self.clip_qkv)
        query, key, value = (heads(part, self.head_dim) for part in packed.chunk(3, dim=2))
        slopes = -build_mpt_alibi_tensor(self.n_heads, 2)[:, 0, 0]  # the bias of a distance of one
        output = _alibi_attend(trace, query, key, value, slopes, self.softmax_scale)
        return self.out_proj(output.flatten(2)), None

    return forward


def _falcon_forward(trace: AttentionTrace) -> Method:
    from transformers.models.bloom.modeling_bloom import _get_alibi_slopes
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

    def forward(
        self: Any, hidden_states: Any, alibi: Any, *args: Any, position_embeddings: Any = None, **keywords: Any
    ) -> Any:
        packed = self.query_key_value(hidden_states)
        if self.new_decoder_architecture:  # the original repeats the key and value heads; the kernel shares them
            group = self.num_heads // self.num_kv_heads + 2
            packed = packed.unflatten(-1, (self.num_kv_heads, group, self.head_dim))
            query, key, value = packed[:, :, :, :-2].flatten(2, 3), packed[:, :, :, -2], packed[:, :, :, -1]
        else:
            query, key, value = self._split_heads(packed)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        scale = self.inv_norm_factor
        if alibi is None:
            query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
            output = trace.attend(query, key, value, scale=scale)
        else:  # falcon scales the sum of scores and bias
            slopes = _get_alibi_slopes(self.num_heads, query.device) * scale
            output = _alibi_attend(trace, query, key, value, slopes, scale)
        return self.dense(output.flatten(2)), None

    return forward


PATCHES = (
    FamilyPatch("GPTJAttention", "_attn", _scaled_attn, "computes scores in a method of its own"),
    FamilyPatch("CodeGenAttention", "_attn", _scaled_attn, "computes scores in a method of its own"),
    FamilyPatch("GPTNeoSelfAttention", "_attn", _gpt_neo_attn, "unscaled scores; local layers by a bias buffer"),
    FamilyPatch("BloomAttention", "forward", _bloom_forward, "ALiBi added inside baddbmm"),
    FamilyPatch("MptAttention", "forward", _mpt_forward, "ALiBi as a bias tensor of the whole context"),
    FamilyPatch("FalconAttention", "forward", _falcon_forward, "ALiBi or rotary; repeats shared key and value heads"),
    FamilyPatch("GPTNeoXJapaneseAttention", "_attn", _scaled_attn, "computes scores in a method of its own"),
    FamilyPatch("modeling_openai.Attention", "_attn", _openai_attn, "computes scores in a method of its own"),
    FamilyPatch("Llama4TextAttention", "forward", llama4.attention, "rotates with complex numbers"),
    FamilyPatch("Llama4TextMoe", "forward", experts.llama4, "all experts look at all tokens", attends=False),
    FamilyPatch("Llama4TextRotaryEmbedding", "forward", llama4.rotations, "complex numbers", attends=False),
    FamilyPatch("XGLMAttention", "forward", bart_forward, "attention written out with bmm"),
    FamilyPatch("MvpAttention", "forward", bart_forward, "attention written out with bmm"),
    FamilyPatch("TrOCRAttention", "forward", bart_forward, "attention written out with bmm"),
    FamilyPatch("RemBertSelfAttention", "forward", bert_forward, "attention written out with matmul"),
    FamilyPatch("MegatronBertSelfAttention", "forward", bert_forward, "attention written out with matmul"),
    FamilyPatch("BigBirdSelfAttention", "forward", bert_forward, "attention written out with matmul"),
    FamilyPatch("RoFormerSelfAttention", "forward", roformer_forward, "rotates before attention written out"),
    FamilyPatch(
        "Gemma3nTextMLP",
        "_gaussian_topk",
        _gemma3n_sparsity,
        "its quantile is computed by an operator that ONNX has not",
        attends=False,
    ),
    FamilyPatch("DbrxExperts", "forward", experts.dbrx, "loops over experts that are hit", attends=False),
    FamilyPatch("Step3p7Experts", "forward", experts.step, "loops over experts that are hit", attends=False),
    FamilyPatch("LongcatFlashExperts", "forward", experts.longcat, "loops over experts that are hit", attends=False),
    FamilyPatch("AriaTextMoELayer", "forward", _aria_experts, "views of unknown strides", attends=False),
    FamilyPatch(ADAPTED, "lang_adapter", lambda _: only_adapter, "sorts rows by their languages", attends=False),
)


@contextmanager
def reference_attention(model: Any) -> Iterator[None]:
    """Makes ``model`` compute attention the plain way, for others to be measured against. Undone on leaving.

    That is transformers' eager attention, but for Falcon with ALiBi: there eager adds the bias twice, once in the mask
    and once beside it; its sdpa form adds it once, as the models were trained.
    """
    config = model.config
    before = config._attn_implementation
    twice = config.model_type == "falcon" and config.alibi
    config._attn_implementation_internal = "sdpa" if twice else "eager"
    try:
        yield
    finally:
        config._attn_implementation_internal = before


def _settle(model: Any) -> None:
    """Makes choices for good that a model makes at each call, where all calls of a bundle would choose the same.

    BigBird attends to everything, as it does for all that is no longer than its context in a bundle. X-MOD keeps the
    adapters of its default language. DBRX's weights of experts are laid out apart.

    Raises:
        UnsupportedModel: the config names no default language.
    """
    choose = getattr(model.base_model, "set_attention_type", None)
    if choose is not None:
        choose("original_full")
    for module in model.modules():
        if type(module).__name__ == "DbrxExpertGLU":
            experts.apart(module)
    keep_default_language(model)


@contextmanager
def patched(model: torch.nn.Module, trace: AttentionTrace) -> Iterator[bool]:
    """Applies the patches that ``model`` needs; gives whether any was of attention. Undone on leaving."""
    by_class = {patch.attention_class: patch for patch in PATCHES}
    _settle(model)
    found = []
    for module in model.modules():
        kind = type(module)
        file = kind.__module__.rpartition(".")[2]
        patch = by_class.get(kind.__name__) or by_class.get(f"{file}.{kind.__name__}")
        if patch is not None:
            found.append((module, patch))
    with replaced((module, patch.method, patch.make(trace)) for module, patch in found):
        yield any(patch.attends for _, patch in found)
