"""Trains the demo model: weighted next-token loss over batches of dialogues of like length."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from attendant_export.demo.dialogues import Dialogue
from attendant_export.demo.tokenizer import END, pieces

CONTEXT_LENGTH = 512


@dataclass(frozen=True)
class TrainSettings:
    """What the run depends on.

    ``num_drills`` short dialogues train the copying of values first. ``batch_tokens`` counts padding. At twice the
    learning rate the model never learns to copy. ``bfloat16`` multiplies matrices in bfloat16, which is twice as fast
    on a CPU that has it; the weights stay float32.
    """

    seed: int = 7
    num_threads: int = 2
    num_drills: int = 8_000
    num_dialogues: int = 45_000
    batch_tokens: int = 2048
    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 512
    num_layers: int = 4
    num_heads: int = 8
    num_kv_heads: int = 2
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    question_weight: float = 0.1
    bfloat16: bool = True


@dataclass(frozen=True)
class Example:
    """A written dialogue: token ids, and the weight of each as a target."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Batch:
    """Examples padded on the right."""

    ids: Tensor  # [num_rows, length] int64
    weights: Tensor  # [num_rows, length] float32, 0 on padding


def encode(
    tokenizer: PreTrainedTokenizerFast, dialogues: Iterable[Dialogue], question_weight: float
) -> Iterator[Example]:
    """Write the dialogues down as tokens, cut to the context length."""
    backend = tokenizer.backend_tokenizer
    for dialogue in dialogues:
        ids: list[int] = []
        weights: list[float] = []
        for piece in pieces(dialogue, question_weight):
            tokens = backend.encode(piece.text, add_special_tokens=False).ids
            ids += tokens
            weights += [piece.weight] * len(tokens)
        yield Example(ids[:CONTEXT_LENGTH], weights[:CONTEXT_LENGTH])


def batches(examples: list[Example], batch_tokens: int, pad: int, rng: random.Random) -> list[Batch]:
    """All examples once, in random order, rows of like length together."""
    order = list(range(len(examples)))
    rng.shuffle(order)
    result: list[Batch] = []
    for start in range(0, len(order), 8192):
        rows = sorted((examples[i] for i in order[start : start + 8192]), key=lambda example: len(example.ids))
        group: list[Example] = []
        for row in rows:
            if group and (len(group) + 1) * _padded(len(row.ids)) > batch_tokens:
                result.append(_pad(group, pad))
                group = []
            group.append(row)
        result.append(_pad(group, pad))
    rng.shuffle(result)
    return result


def _padded(length: int) -> int:
    """Few lengths, because each new shape costs the CPU kernels a set-up."""
    return -(-length // 8) * 8


def _pad(rows: list[Example], pad: int) -> Batch:
    length = _padded(max(len(row.ids) for row in rows))
    ids = [row.ids + [pad] * (length - len(row.ids)) for row in rows]
    weights = [row.weights + [0.0] * (length - len(row.weights)) for row in rows]
    return Batch(torch.tensor(ids), torch.tensor(weights))


def build_model(settings: TrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained model, the same for the same seed."""
    torch.manual_seed(settings.seed)
    end = tokenizer.convert_tokens_to_ids(END)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        num_key_value_heads=settings.num_kv_heads,
        head_dim=settings.hidden_size // settings.num_heads,
        max_position_embeddings=CONTEXT_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(
        bos_token_id=None, eos_token_id=end, pad_token_id=end, do_sample=False, max_new_tokens=160
    )
    return model


def weighted_loss(model: LlamaForCausalLM, batch: Batch, bfloat16: bool) -> tuple[Tensor, Tensor]:
    """Sum of weighted losses in nats, and sum of weights. Padding lies right of all tokens, so it needs no mask."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        logits = model(input_ids=batch.ids, use_cache=False).logits  # [num_rows, length, vocab]
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none"
    )
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum(), weights.sum()


def mean_loss(model: LlamaForCausalLM, examples: list[Example], batch_tokens: int, pad: int) -> float:
    """Nats per weighted token."""
    model.eval()
    total = weight = 0.0
    with torch.no_grad():
        for batch in batches(examples, batch_tokens, pad, random.Random(0)):
            loss, count = weighted_loss(model, batch, bfloat16=False)
            total += loss.item()
            weight += count.item()
    return total / weight


def _rate(step: int, num_steps: int, settings: TrainSettings) -> float:
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, num_steps - settings.warmup_steps)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def train(
    model: LlamaForCausalLM,
    phases: Sequence[list[Example]],
    settings: TrainSettings,
    progress: Callable[[str], None] = print,
) -> list[float]:
    """Train in place on one phase after the other; the loss of each step is returned."""
    torch.set_num_threads(settings.num_threads)
    rng = random.Random(settings.seed)
    pad = int(model.config.pad_token_id)
    steps = [batch for phase in phases for batch in batches(phase, settings.batch_tokens, pad, rng)]
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )
    model.train()
    losses: list[float] = []
    started, tokens = time.monotonic(), 0
    for step, batch in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, len(steps), settings)
        loss, weight = weighted_loss(model, batch, settings.bfloat16)
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item() / weight.item())
        tokens += batch.ids.numel()
        if (step + 1) % 50 == 0 or step + 1 == len(steps):
            spent = time.monotonic() - started
            recent = sum(losses[-50:]) / len(losses[-50:])
            progress(
                f"train: step {step + 1}/{len(steps)}, loss {recent:.3f}, {tokens / spent:,.0f} tokens/s, "
                f"{spent:.0f} s of about {spent / (step + 1) * len(steps):.0f} s"
            )
    return losses
