"""Logits of one input to labels with scores, and of query and document to a rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attendant.bundle import Problem
from attendant.tasks.vectors import Floats, best, sigmoid, softmax


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a model: its name, its score and its index among them."""

    label: str
    score: float
    index: int


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A document by its index in the request."""

    index: int
    score: float
    document: str = ""


def label_scores(logits: Floats, problem: Problem, *, raw: bool = False) -> Floats:
    """Scores [..., num_labels] float32 of logits of that shape: probabilities of labels that exclude each other
    (softmax), of each label by itself (sigmoid; also of the only label), or the numbers themselves."""
    if raw or problem == "regression":
        return logits
    alone = problem == "multi_label" or logits.shape[-1] == 1
    return sigmoid(logits) if alone else softmax(logits)


def ranked_labels(
    logits: Floats, labels: Sequence[str], problem: Problem, *, top_k: int | None = None, raw: bool = False
) -> tuple[Label, ...]:
    """The labels of one input, highest score first; equals by index.

    Args:
        logits: [num_labels] float32.
        top_k: only so many; None for all.
        raw: logits for scores.
    """
    scores = label_scores(logits, problem, raw=raw)
    return tuple(Label(labels[i], float(scores[i]), int(i)) for i in best(scores, top_k))


def ranked_documents(
    scores: npt.NDArray[np.floating], texts: Sequence[str], top_k: int | None = None
) -> list[RankedDocument]:
    """Documents by score, highest first; equals by index.

    Args:
        scores: [documents].
        texts: theirs, or nothing.
        top_k: only so many; None for all.
    """
    order = best(scores, None)[:top_k]  # of all, so that a score that is no number leaves no document out
    return [RankedDocument(int(i), float(scores[i]), texts[i] if texts else "") for i in order]


def relevance(logits: Floats, *, raw: bool = False) -> float:
    """How well a document fits a query: the sigmoid of the one label; of several, the last one's probability.

    Args:
        logits: [num_labels] float32.
        raw: the logit itself.
    """
    if raw:
        return float(logits[-1])
    return float(sigmoid(logits)[0] if len(logits) == 1 else softmax(logits)[-1])
