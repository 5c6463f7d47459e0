"""Calls of models that encode, as the front end receives them, and the form of their answers. No transport words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from attendant.bundle import EncoderTask
from attendant.core.receipt import Receipt
from attendant.core.request import StepTime
from attendant.tasks.answers import DEFAULT_ANSWER_TOKENS
from attendant.tasks.masks import DEFAULT_FILLS
from attendant.tasks.tokens import Aggregation

T = TypeVar("T")


Ids = Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextItem:
    """A text, or token ids used as they are; ``pair``, if not empty, is a second text beside ``text``. ``type_ids``: of
    given tokens, which of two texts each is of; None: all of the first."""

    text: str = ""
    pair: str = ""
    token_ids: Ids | None = None
    type_ids: Ids | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the text that may have its answer."""

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound file, or 32-bit little-endian floats of one channel at ``sampling_rate`` Hz."""

    data: bytes
    is_wav: bool
    sampling_rate: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """What every call may ask for.

    Attributes:
        receipt: give one with the answer.
        patient: wait for places for the first rows, too, in place of being refused while there are none.
    """

    receipt: bool = field(default=False, kw_only=True)
    patient: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class EmbedCall(Call):
    """Vectors of texts. ``None``: the dimensions, and the length, that the model was made for.

    ``prompt``: the name of one of the model's; empty for its default one, or with ``no_prompt`` none at all.
    ``truncate_left``: beside ``truncate``, cut the begin of a text and not its end. ``max_tokens``: of a row, special
    ones included, where that is fewer than the model takes; None: as many as it takes.
    """

    model: str
    inputs: Sequence[TextItem]
    truncate: bool = False
    dimensions: int | None = None
    normalize: bool | None = None
    per_token: bool = False
    prompt: str = ""
    no_prompt: bool = False
    truncate_left: bool = False
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EmbedSparseCall(Call):
    """Weights of the vocabulary's tokens for texts; ``truncate_left`` as in EmbedCall."""

    model: str
    inputs: Sequence[TextItem]
    truncate: bool = False
    truncate_left: bool = False


@dataclass(frozen=True, slots=True)
class ClassifyCall(Call):
    """Labels of texts. ``top_k`` None: all labels. ``truncate_left`` and ``max_tokens`` as in EmbedCall."""

    model: str
    inputs: Sequence[TextItem]
    truncate: bool = False
    top_k: int | None = None
    raw_scores: bool = False
    truncate_left: bool = False
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ClassifyTokensCall(Call):
    """Labelled spans of texts. ``stride`` None: a text that is too long is cut or refused."""

    model: str
    texts: Sequence[str]
    truncate: bool = False
    aggregation: Aggregation = Aggregation.SIMPLE
    stride: int | None = None
    keep_outside: bool = False


@dataclass(frozen=True, slots=True)
class AnswerCall(Call):
    """Answers found in texts."""

    model: str
    inputs: Sequence[Question]
    truncate: bool = False
    top_k: int = 1
    max_answer_tokens: int = DEFAULT_ANSWER_TOKENS
    stride: int | None = None
    allow_no_answer: bool = False


@dataclass(frozen=True, slots=True)
class RerankCall(Call):
    """Documents by how well they fit a query. ``truncate_left`` as in EmbedCall, of both texts.
    ``max_document_tokens``: of each document, special ones not counted; what is more is cut. A model that embeds, which
    a route may lead to, counts its special ones, too."""

    model: str
    query: str
    documents: Sequence[str]
    truncate: bool = False
    top_k: int | None = None
    return_documents: bool = False
    raw_scores: bool = False
    truncate_left: bool = False
    max_document_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class FillMaskCall(Call):
    """Tokens for the masks of texts."""

    model: str
    texts: Sequence[str]
    truncate: bool = False
    top_k: int = DEFAULT_FILLS


@dataclass(frozen=True, slots=True)
class LogitsCall(Call):
    """What a model of ``task`` says of given tokens, before anything is made of it: of classify_tokens and answer one
    row of logits for each token, of fill_mask one for each mask, of rerank and classify one."""

    model: str
    task: EncoderTask
    inputs: Sequence[TextItem]
    truncate: bool = False


Image = bytes | npt.NDArray[np.float32]
"""A file, or pixel values [3, height, width] that are what the model takes."""


@dataclass(frozen=True, slots=True)
class ClassifyImageCall(Call):
    """Labels of images."""

    model: str
    images: Sequence[Image]
    top_k: int | None = None
    raw_scores: bool = False


@dataclass(frozen=True, slots=True)
class EmbedImageCall(Call):
    """Vectors of images."""

    model: str
    images: Sequence[Image]
    dimensions: int | None = None
    normalize: bool | None = None


@dataclass(frozen=True, slots=True)
class ClassifyAudioCall(Call):
    """Labels of recordings. ``truncate``: cut the end off those that are too long."""

    model: str
    inputs: Sequence[Audio]
    truncate: bool = False
    top_k: int | None = None
    raw_scores: bool = False


@dataclass(frozen=True, slots=True)
class TranscribeCall(Call):
    """What is said in recordings."""

    model: str
    inputs: Sequence[Audio]


@dataclass(frozen=True, slots=True)
class EncodingUsage:
    """What a call took. ``num_tokens``: of its inputs after truncation; images; or samples.

    Nanoseconds: queue, arrival to the begin of the first run with a row of the call; preprocess, making tensors;
    compute, the runs with rows of the call; total, arrival to answer. ``on_gpu``: where the runs were. ``steps``: of a
    call on a route, what it led to.
    """

    num_tokens: int
    num_truncated: int
    queue_ns: int
    preprocess_ns: int
    compute_ns: int
    total_ns: int
    on_gpu: bool = False
    steps: tuple[StepTime, ...] = ()


def added_up(usages: Sequence[EncodingUsage], total_ns: int, steps: tuple[StepTime, ...] = ()) -> EncodingUsage:
    """What the parts of a call took together; ``total_ns`` and ``steps`` are the call's own."""
    return EncodingUsage(
        num_tokens=sum(each.num_tokens for each in usages),
        num_truncated=sum(each.num_truncated for each in usages),
        queue_ns=min(each.queue_ns for each in usages),
        preprocess_ns=sum(each.preprocess_ns for each in usages),
        compute_ns=sum(each.compute_ns for each in usages),
        total_ns=total_ns,
        on_gpu=any(each.on_gpu for each in usages),
        steps=steps,
    )


@dataclass(frozen=True, slots=True)
class Encoded(Generic[T]):
    """A call's results, in the order of its inputs. ``receipt``: where it was asked for, as yet without an output."""

    results: Sequence[T]
    usage: EncodingUsage
    receipt: Receipt | None = None
