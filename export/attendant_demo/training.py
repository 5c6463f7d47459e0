"""What the training runs of the demo models share: batches of like length, and the optimiser with its schedule."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def like_lengths(lengths: Sequence[int], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    """Indices of all rows once, in batches of rows of like length, in random order.

    Args:
        batch_tokens: of a batch at most, padding counted; a row that is longer is a batch of its own.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    result: list[list[int]] = []
    for start in range(0, len(order), 8192):
        group: list[int] = []
        for index in sorted(order[start : start + 8192], key=lengths.__getitem__):
            if group and (len(group) + 1) * padded_length(lengths[index]) > batch_tokens:
                result.append(group)
                group = []
            group.append(index)
        result.append(group)
    rng.shuffle(result)
    return result


def padded_length(length: int) -> int:
    """Few lengths, because each new shape costs the CPU kernels a set-up."""
    return -(-length // 8) * 8


class Optimiser:
    """AdamW that warms up and decays along a cosine to a fiftieth; gradients are clipped to a norm of 1.

    Args:
        num_steps: that :meth:`step` will be called.
        progress: takes a line every 50 steps.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        num_steps: int,
        *,
        learning_rate: float,
        warmup_steps: int,
        weight_decay: float,
        progress: Callable[[str], None],
    ) -> None:
        self._parameters = list(model.parameters())
        decayed = [p for p in self._parameters if p.dim() > 1]
        others = [p for p in self._parameters if p.dim() <= 1]
        self._adam = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=learning_rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        self._num_steps, self._warmup_steps, self._peak = num_steps, warmup_steps, learning_rate
        self._progress = progress
        self._started, self._tokens = time.monotonic(), 0
        self.losses: list[float] = []

    def step(self, loss: Tensor, num_tokens: int) -> None:
        """One step down the gradient of ``loss``, the mean over a batch of ``num_tokens``."""
        for group in self._adam.param_groups:
            group["lr"] = self._rate(len(self.losses))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        self._tokens += num_tokens
        if len(self.losses) % 50 == 0 or len(self.losses) == self._num_steps:
            self._tell()

    def _rate(self, step: int) -> float:
        if step < self._warmup_steps:
            return self._peak * (step + 1) / self._warmup_steps
        done = (step - self._warmup_steps) / max(1, self._num_steps - self._warmup_steps)
        return self._peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def _tell(self) -> None:
        step, spent = len(self.losses), time.monotonic() - self._started
        recent = sum(self.losses[-50:]) / len(self.losses[-50:])
        self._progress(
            f"train: step {step}/{self._num_steps}, loss {recent:.3f}, {self._tokens / spent:,.0f} tokens/s, "
            f"{spent:.0f} s of about {spent / step * self._num_steps:.0f} s"
        )
