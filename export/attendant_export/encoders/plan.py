"""What the pipeline has to know of an encoder: the planners of text, images and audio all give the same plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attendant.bundle import (
    AudioInput,
    CtcHead,
    EmbeddingHead,
    EncoderTask,
    ImageInput,
    PatchInput,
    Problem,
    RowLayout,
    SpectrumInput,
    TextInput,
)

from attendant_export.attention.reference import Look
from attendant_export.encoders.trace import EncoderSpec

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncoderCase:
    """One run that a finished graph is verified with.

    Attributes:
        name: for the report, e.g. ``batch`` or ``single``.
        feeds: by input name; those that the graph does not have are left out.
        wanted: [n, width] float32, of the source model, each row of input computed alone.
        rows_of: picks the same [n, width] from the graph's output.
    """

    name: str
    feeds: Mapping[str, Array]
    wanted: Floats
    rows_of: Callable[[Floats], Floats]


@dataclass(frozen=True)
class EncoderPlan:
    """A model ready to become a bundle.

    Attributes:
        spec: makes the graph's spec for a floating-point type; float32 for target cpu, float16 for cuda.
        cases: computes what the finished graph is verified with; the first one holds several rows.
        natural: computes a case of natural text, whose rows are what a user gets (vectors, where they are pooled); None
            where there is none.
        samples: computes inputs of runs that are typical of the model's use, to quantise by, of a text or of the
            exporter's own; None where those of ``cases`` have to do.
        tokenizer_json: content of tokenizer.json, for text.
        projection: a torch module [rows, hidden] -> [rows, dimensions], float32, that becomes a graph of its own.
        look: the model with one row, to look at its attention.
        warnings: what of the folder is not served as it says, one sentence each.

    The others are fields of :class:`attendant.bundle.EncoderManifest`.
    """

    task: EncoderTask
    architecture: str
    input: TextInput | ImageInput | PatchInput | AudioInput | SpectrumInput
    layout: RowLayout
    spec: Callable[[torch.dtype], EncoderSpec]
    cases: Callable[[], Sequence[EncoderCase]]
    natural: Callable[[], EncoderCase | None] = lambda: None
    samples: Callable[[str | None], Sequence[Mapping[str, Array]]] | None = None
    labels: tuple[str, ...] = ()
    problem: Problem = "single_label"
    embedding: EmbeddingHead | None = None
    ctc: CtcHead | None = None
    tokenizer_json: str | None = None
    projection: torch.nn.Module | None = None
    warnings: tuple[str, ...] = ()
    look: Callable[[], Look] | None = None

    def sample_runs(self, text: str | None = None) -> Sequence[Mapping[str, Array]]:
        """Inputs of runs to quantise by."""
        found = self.samples(text) if self.samples is not None else []
        return found or [case.feeds for case in self.cases()[:1]]
