"""Trains the demo model: weighted next-token loss over batches of dialogues of like length."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from attendant_demo.dialogues import Dialogue
from attendant_demo.tokenizer import END, pieces
from attendant_demo.training import Optimiser, like_lengths, padded_length

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
    groups = like_lengths([len(example.ids) for example in examples], batch_tokens, rng)
    return [_pad([examples[index] for index in group], pad) for group in groups]


def _pad(rows: list[Example], pad: int) -> Batch:
    length = padded_length(max(len(row.ids) for row in rows))
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
    optimiser = Optimiser(
        model,
        len(steps),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        progress=progress,
    )
    model.train()
    for batch in steps:
        loss, weight = weighted_loss(model, batch, settings.bfloat16)
        optimiser.step(loss / weight, batch.ids.numel())
    return optimiser.losses
