"""What a call on a model that encodes notes of its way: the call as a whole, and how its rows fared among others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attendant.core.context import CallContext
from attendant.core.encoding import BatchStats, RowResult
from attendant.core.stages import SharedRun, Stage, Trail
from attendant.frontend.encoding.calls import Encoded

EMBEDDINGS = ("embed", "embed_image")
OF_IMAGES = ("classify_image", "embed_image")
OF_SOUND = ("classify_audio", "transcribe")


def begin_call(context: CallContext, task: str, requested_model: str) -> Stage:
    """The stage of a call on a model."""
    if context.tally is not None:
        context.tally.asks(requested_model, context.priority)
    if not context.stage.noted:
        return context.stage
    operation = "embeddings" if task in EMBEDDINGS else task
    return context.stage.begin(
        operation, operation=operation, task=task, requested_model=requested_model, response_id=context.request_id
    )


def note_result(stage: Stage, model: str, encoded: Encoded[Any], task: str, context: CallContext) -> None:
    """Note which model it was, and what it took."""
    if context.tally is not None:
        context.tally.encoded(context.arrival_ns, encoded.usage.queue_ns)
        if task in OF_IMAGES:
            context.tally.images += len(encoded.results)
        elif task not in OF_SOUND:
            context.tally.count_tokens(encoded.usage.num_tokens)
    if stage.noted:
        stage.note(model=model, prompt_tokens=encoded.usage.num_tokens, inputs=len(encoded.results))


class RowsWay:
    """The stages of rows that are handed over together: they wait for places, then for runs, of which each may have
    some of them.

    Args:
        stage: of their call.
    """

    def __init__(self, stage: Stage, num_rows: int) -> None:
        self._stage = stage
        self._num_rows = num_rows
        self._asked_ns = time.monotonic_ns()
        self._entered_ns = 0
        self._runs: dict[int, SharedRun] = {}  # by when they began

    @classmethod
    def of(cls, stage: Stage, num_rows: int) -> RowsWay | None:
        """One if anything is kept of it."""
        return cls(stage, num_rows) if stage.noted else None

    @property
    def trail(self) -> Trail:
        """Of the call."""
        assert self._stage.trail is not None, "there is one"
        return self._stage.trail

    def entered(self) -> None:
        """The rows have their places, and wait for a run."""
        self._entered_ns = time.monotonic_ns()

    def ran(self, run: SharedRun) -> None:
        """A run had some of the rows."""
        self._runs[run.begin_ns] = run

    def end(self) -> None:
        """The rows have ended, or nobody waits for them any more."""
        now_ns = time.monotonic_ns()
        self._stage.add("admission", self._asked_ns, self._entered_ns or now_ns, rows=self._num_rows)
        if not self._entered_ns:
            return
        self._stage.add("queue", self._entered_ns, min(self._runs, default=now_ns))
        for begin_ns in sorted(self._runs):
            run = self._runs[begin_ns]
            self._stage.add("run", begin_ns, run.end_ns, **run.attributes).run = run


def note_shared_run(ways: Sequence[RowsWay], first: RowResult, stats: BatchStats, model: str, task: str) -> None:
    """Note the run that rows of ``ways`` were in. ``first``: one of them."""
    trails = tuple(dict.fromkeys(way.trail for way in ways))
    run = SharedRun(
        first.started_ns,
        first.started_ns + first.run_ns,
        trails,
        {
            "model": model,
            "task": task,
            "batch_rows": stats.num_rows,
            "batch_tokens": stats.size,
            "padding_tokens": stats.padded_size - stats.size,
        },
    )
    for way in ways:
        way.ran(run)
