"""Finds by trial how rows of a text encoder can run together: packed if that gives what each row gives alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from attendant.bundle.graph_io import PACKED, PICKED_TOKENS

from attendant_export.encoders.rows import Ints, feeds_of, places_of
from attendant_export.encoders.text import Form, TextHead, TextModule
from attendant_export.encoders.trace import switched
from attendant_export.errors import UnsupportedModel, first_line

Floats = npt.NDArray[np.float32]

FORMS = (
    Form("packed"),
    Form("packed", masked=True),
    Form("packed", inside=True),
    Form("padded"),
    Form("padded", fused=False),
)
_CHOSEN_EVERY = 3
_RELATIVE, _ABSOLUTE = 2e-4, 3e-6  # of the spread of the outputs, and beside it
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Sample:
    """Rows of tokens, each [length] int64, and what the source model gives for each of them alone.

    Attributes:
        types: their token types, or None where the model has none.
        chosen: per row, the tokens whose logits are wanted, if not all are.
        wanted: [n, width] float32: n rows, tokens or chosen tokens.
    """

    rows: Sequence[Ints]
    types: Sequence[Ints] | None
    chosen: Sequence[Ints] | None
    wanted: Sequence[Floats]

    def slice(self, start: int, stop: int) -> Sample:
        """The rows from ``start`` to ``stop`` alone."""
        cut = slice(start, stop)
        types = None if self.types is None else self.types[cut]
        chosen = None if self.chosen is None else self.chosen[cut]
        return Sample(self.rows[cut], types, chosen, self.wanted[cut])


@dataclass(frozen=True)
class Way:
    """How rows run together, and from what number on positions count."""

    form: Form
    position_offset: int = 0


def make_sample(model: Any, head: TextHead, rows: Sequence[Ints], types: Sequence[Ints] | None, pad_id: int) -> Sample:
    """Runs the source model on each row alone, with its own attention."""
    chosen = [np.arange(0, len(row), _CHOSEN_EVERY) for row in rows] if head.kind == "chosen_logits" else None
    wanted = []
    for index, row in enumerate(rows):
        ids = torch.from_numpy(row)[None]
        keywords = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if types is not None:
            keywords["token_type_ids"] = torch.from_numpy(types[index])[None]
        if head.fixed_length is not None:
            missing = head.fixed_length - len(row)
            keywords = {"input_ids": torch.nn.functional.pad(ids, (0, missing), value=pad_id)}
        with torch.no_grad():
            found = head.of(model(**keywords)).float().numpy()
        found = found if head.by_row else found[0]
        wanted.append(found if chosen is None else found[chosen[index]])
    return Sample(rows, types, chosen, wanted)


def sample_feeds(sample: Sample, way: Way, pad_id: int, max_length: int = 0) -> dict[str, npt.NDArray[Any]]:
    """The inputs of a graph for the rows of ``sample``."""
    feeds = feeds_of(
        way.form.layout,
        sample.rows,
        sample.types,
        pad_id=pad_id,
        position_offset=way.position_offset,
        max_length=max_length,
    )
    if sample.types is None:
        del feeds[PACKED.token_type_ids.name]
    if sample.chosen is not None:
        starts = np.cumsum([0, *(len(row) for row in sample.rows[:-1])])
        places = np.concatenate([start + chosen for start, chosen in zip(starts, sample.chosen, strict=True)])
        feeds[PICKED_TOKENS.logits_index.name] = places_of(way.form.layout, sample.rows)[places]
    return feeds


def rows_of(output: npt.NDArray[Any], sample: Sample, head: TextHead, way: Way) -> Floats:
    """[n, width] float32: the graph's output for the rows of ``sample``, without padding."""
    if not head.by_row and sample.chosen is None and way.form.layout == "padded":
        output = output.reshape(-1, output.shape[-1])[places_of("padded", sample.rows)]
    return output.astype(np.float32)


def find_way(model: Any, head: TextHead, sample: Sample, pad_id: int) -> Way:
    """The first of the forms, and the position offset, with which ``sample`` comes out as each row alone.

    Raises:
        UnsupportedModel: none; says how far off the last one was.
    """
    wanted = np.concatenate(sample.wanted)
    bound = _ABSOLUTE + _RELATIVE * float(wanted.std())
    architecture = str(model.config.model_type)
    reason = "its rows cannot run together"
    for way in _ways(head, pad_id):
        module = TextModule(model, head, way.form, pad_id).eval()
        feeds = {name: torch.from_numpy(value) for name, value in sample_feeds(sample, way, pad_id).items()}
        try:
            with torch.no_grad(), switched(model, module.attention, fused=way.form.fused):
                output = module(feeds).float().numpy()
            found = rows_of(output, sample, head, way)
        except UnsupportedModel as error:
            reason = error.reason
            continue
        except _FAILURES as error:
            reason = f"its code does not take rows that run together ({first_line(error).rstrip('.')})"
            continue
        if way.form.fused and module.attention.calls == 0:
            continue
        error_size = float(np.abs(found - wanted).max()) if found.shape == wanted.shape else float("inf")
        if error_size <= bound:
            return way
        reason = f"rows that run together differ from rows alone by {error_size:.2g}, {bound:.2g} is allowed"
    raise UnsupportedModel(architecture, reason)


def _ways(head: TextHead, pad_id: int) -> Iterator[Way]:
    for form in FORMS:
        if form.layout == "packed":
            if head.fixed_length is not None:
                continue
            yield Way(form)
            if not form.inside:
                yield Way(form, pad_id + 1)
        else:
            yield Way(form)
