"""Measures how large keys and values get, for the scales of an 8-bit KV cache.

Keys are cached after rotation, and a slowly rotating channel shows its size only far into the context. So prompts are
run at several offsets: positions shift, the model's answers do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from attendant_export.decoders.decoder import probe, run
from attendant_export.decoders.families import patched
from attendant_export.errors import UnsupportedModel
from attendant_export.graph.kernels import AttentionCall, Cache, CacheScales
from attendant_export.recipe import KVCache
from attendant_export.tracing.attention import AttentionTrace
from attendant_export.tracing.trace import fused_attention

_LARGEST = {"int8": 127.0, "fp8": 448.0}
_DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
_HEADROOM = 1.2  # over the largest magnitude seen; what is larger still is clipped
_OFFSETS = (0.0, 0.23, 0.61, 0.89)  # shares of the context: no simple ratios, which rotations might hide in
_SMALLEST = 1e-8


def calibrate(
    model: Any, prompts: Sequence[npt.NDArray[np.int64]], context_length: int, kv_cache: KVCache
) -> CacheScales:
    """Runs prompts [n] through ``model`` and takes each channel's largest magnitude.

    Raises:
        UnsupportedModel: its cache holds positions (ALiBi), which 8 bits cannot.
    """
    architecture = str(model.config.model_type)
    trace, kernel = AttentionTrace(architecture, longest=context_length), _Watching()
    with torch.no_grad(), patched(model, trace) as bypass, fused_attention(model, trace, bypass):
        pasts: list[Cache] = [(torch.empty(0), torch.empty(0))] * len(probe(model, trace))
        for prompt, share in itertools.product(prompts, _OFFSETS):
            offset = int(share * max(context_length - len(prompt), 0))
            positions = torch.arange(offset, offset + len(prompt))[None]
            trace.start_trace(positions, pasts, kernel)
            run(model, torch.from_numpy(prompt)[None], positions)
    if trace.uses_alibi:
        raise UnsupportedModel(architecture, f"its ALiBi positions do not fit a cache of {kv_cache}")
    steps = [_steps(peaks, kv_cache) for peaks in kernel.peaks]
    return CacheScales(_DTYPES[kv_cache], [keys for keys, _ in steps], [values for _, values in steps])


class _Watching:
    """A kernel that attends in plain torch and keeps the largest magnitudes: per call, of keys and values, each
    [num_kv_heads, head_size]."""

    def __init__(self) -> None:
        self.peaks: list[tuple[torch.Tensor, torch.Tensor]] = []

    def emit(self, call: AttentionCall, index: int, past: Cache) -> tuple[torch.Tensor, Cache]:
        """See :meth:`attendant_export.graph.kernels.Kernel.emit`."""
        peaks = call.key[0].abs().amax(1), call.value[0].abs().amax(1)
        if index == len(self.peaks):
            self.peaks.append(peaks)
        else:
            keys, values = self.peaks[index]
            self.peaks[index] = torch.maximum(keys, peaks[0]), torch.maximum(values, peaks[1])
        return _attend(call), past


def _attend(call: AttentionCall) -> torch.Tensor:
    """Causal attention of one sequence, [1, sequence, num_heads, head_size]."""
    groups = call.query.shape[1] // call.key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) for part in (call.key, call.value))
    scores = call.query @ key.transpose(2, 3) * call.scale
    if call.softcap:
        scores = torch.tanh(scores / call.softcap) * call.softcap
    length = scores.shape[-1]
    allowed = torch.ones(length, length, dtype=torch.bool).tril()
    if call.window:
        allowed = allowed.triu(1 - call.window)
    scores = scores.masked_fill(~allowed, float("-inf"))
    if call.sink is not None:
        sink = call.sink.view(1, -1, 1, 1).expand(1, -1, length, 1)
        scores = torch.cat([scores, sink], dim=-1)
    weights = scores.softmax(dim=-1)[..., :length]
    return (weights @ value).transpose(1, 2)


def _steps(peaks: tuple[torch.Tensor, torch.Tensor], kv_cache: KVCache) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales of one call, each [num_kv_heads, 1, head_size] float32."""
    keys, values = (
        (peak.float() * (_HEADROOM / _LARGEST[kv_cache])).clamp(min=_SMALLEST).unsqueeze(1) for peak in peaks
    )
    return keys, values
