"""The classifier: its shape, and its training on composed reviews."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

from attendant_demo.sentiment.phrases import LABELS
from attendant_demo.sentiment.reviews import Review
from attendant_demo.sentiment.vocabulary import CONTEXT_LENGTH
from attendant_demo.training import Optimiser, like_lengths, padded_length

_UNKNOWN = -100  # cross_entropy passes over it
_cross_entropy = torch.nn.functional.cross_entropy


@dataclass(frozen=True)
class TrainSettings:
    """What the run depends on; ``num_threads`` is part of what makes it repeatable.

    ``num_drills`` reviews of one sentence come first. ``clause_weight``: of learning what each clause says by itself,
    which has something to teach at every token. One thread: on a machine that does other work, two wait for each
    other. ``batch_tokens`` counts padding. ``bfloat16`` multiplies matrices in bfloat16; the weights stay float32.
    """

    seed: int = 5
    num_threads: int = 1
    num_drills: int = 70_000
    num_reviews: int = 160_000
    batch_tokens: int = 768
    vocab_size: int = 4096
    hidden_size: int = 128
    intermediate_size: int = 256
    num_layers: int = 4
    num_heads: int = 4
    dropout: float = 0.05
    learning_rate: float = 1.2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    clause_weight: float = 1.0
    bfloat16: bool = True


@dataclass(frozen=True)
class Batch:
    """Reviews padded on the right."""

    ids: Tensor  # [num_rows, length] int64
    mask: Tensor  # [num_rows, length] int64, 0 on padding
    labels: Tensor  # [num_rows] int64
    clauses: Tensor  # [num_rows, length] int64: what the clause of each token says, -100 where unknown


@dataclass(frozen=True)
class Example:
    """A review as tokens. ``clauses``: the label of each token's clause, -100 where unknown."""

    ids: list[int]
    clauses: list[int]
    label: int


def build_model(settings: TrainSettings, tokenizer: PreTrainedTokenizerFast) -> DistilBertForSequenceClassification:
    """The untrained model, the same for the same seed."""
    torch.manual_seed(settings.seed)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT_LENGTH,
        dim=settings.hidden_size,
        hidden_dim=settings.intermediate_size,
        n_layers=settings.num_layers,
        n_heads=settings.num_heads,
        dropout=settings.dropout,
        attention_dropout=0.0,
        seq_classif_dropout=settings.dropout,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
        attn_implementation="eager",
    )
    return DistilBertForSequenceClassification(config)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, cut to the context length."""
    rows = tokenizer.backend_tokenizer.encode_batch(list(texts))
    return [_cut(row.ids) for row in rows]


def examples(tokenizer: PreTrainedTokenizerFast, reviews: Sequence[Review]) -> list[Example]:
    """The reviews as tokens, with the labels of their clauses."""
    rows = tokenizer.backend_tokenizer.encode_batch([review.text for review in reviews])
    return [
        Example(_cut(row.ids), _cut(_clauses(row.offsets, review)), LABELS.index(review.label))
        for row, review in zip(rows, reviews, strict=True)
    ]


def _cut(values: list[int]) -> list[int]:
    return values if len(values) <= CONTEXT_LENGTH else [*values[: CONTEXT_LENGTH - 1], values[-1]]


def _clauses(offsets: Sequence[tuple[int, int]], review: Review) -> list[int]:
    labels = [_UNKNOWN] * len(offsets)
    for span in review.spans:
        for index, (start, end) in enumerate(offsets):
            if span.start <= start < end <= span.end:
                labels[index] = LABELS.index(span.label)
    return labels


def batches(rows: Sequence[Example], batch_tokens: int, pad: int, rng: random.Random) -> list[Batch]:
    """All rows once, in random order, those of like length together."""
    return [
        _batch([rows[index] for index in group], pad)
        for group in like_lengths([len(row.ids) for row in rows], batch_tokens, rng)
    ]


def _batch(rows: list[Example], pad: int) -> Batch:
    length = padded_length(max(len(row.ids) for row in rows))
    fill = [length - len(row.ids) for row in rows]
    return Batch(
        torch.tensor([row.ids + [pad] * extra for row, extra in zip(rows, fill, strict=True)]),
        torch.tensor([[1] * (length - extra) + [0] * extra for extra in fill]),
        torch.tensor([row.label for row in rows]),
        torch.tensor([row.clauses + [_UNKNOWN] * extra for row, extra in zip(rows, fill, strict=True)]),
    )


class Reader(torch.nn.Module):  # type: ignore[misc]
    """The model in training, with a head that says what the clause of each token does. Only the model is kept."""

    def __init__(self, model: DistilBertForSequenceClassification) -> None:
        super().__init__()
        self.model = model
        self.clause = torch.nn.Linear(model.config.dim, len(LABELS))

    def loss(self, batch: Batch, clause_weight: float) -> Tensor:
        """Mean cross-entropy of the labels, and of the labels of the clauses times ``clause_weight``, in nats."""
        found = self.model(input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True)
        clauses = self.clause(found.hidden_states[-1])  # [num_rows, length, num_labels]
        by_token = _cross_entropy(clauses.flatten(0, 1).float(), batch.clauses.flatten(), reduction="sum")
        known = (batch.clauses != _UNKNOWN).sum().clamp(min=1)
        return _cross_entropy(found.logits.float(), batch.labels) + clause_weight * by_token / known


def train(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    phases: Sequence[Sequence[Review]],
    settings: TrainSettings,
    progress: Callable[[str], None] = print,
) -> list[float]:
    """Train in place on one phase after the other, each review once; the loss of each step is returned."""
    torch.set_num_threads(settings.num_threads)
    rng, pad = random.Random(settings.seed), int(model.config.pad_token_id)
    steps = [batch for part in phases for batch in batches(examples(tokenizer, part), settings.batch_tokens, pad, rng)]
    reader = Reader(model).train()
    optimiser = Optimiser(
        reader,
        len(steps),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        progress=progress,
    )
    for batch in steps:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            loss = reader.loss(batch, settings.clause_weight)
        optimiser.step(loss, batch.ids.numel())
    return optimiser.losses


def mean_loss(
    model: DistilBertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, reviews: Sequence[Review]
) -> float:
    """Nats per review, of the labels alone."""
    model.eval()
    total, pad = 0.0, int(model.config.pad_token_id)
    with torch.no_grad():
        for batch in batches(examples(tokenizer, reviews), 4096, pad, random.Random(0)):
            logits = model(input_ids=batch.ids, attention_mask=batch.mask).logits  # [num_rows, num_labels]
            total += _cross_entropy(logits, batch.labels, reduction="sum").item()
    return total / len(reviews)
