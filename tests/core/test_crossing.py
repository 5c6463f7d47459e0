"""What crosses between the front end and an engine can be pickled, so that the engine may live in another process."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
from attendant.core import attention, beams, encoding, errors, events, request, sampling, source
from attendant.core.attention import (
    AttentionJob,
    AttentionPart,
    AttentionPiece,
    AttentionRun,
    AttentionShape,
    AttentionSubject,
    AttentionView,
    JobFailure,
    JobReport,
    JobResult,
)
from attendant.core.beams import BeamParams
from attendant.core.encoding import BatchReport, BatchStats, Row, RowFailure, RowResult
from attendant.core.errors import (
    AttendantError,
    BundleError,
    ContextExceeded,
    DeviceOutOfMemory,
    InvalidRequest,
    MemoryTaken,
    ModelFailed,
    ModelNotFound,
    Overloaded,
    QueueFull,
    StepFailed,
    TooLarge,
    WouldBeLate,
)
from attendant.core.events import (
    FailedEvent,
    FinishedEvent,
    StepReport,
    StepStats,
    TokenEvent,
    TokenLogprob,
)
from attendant.core.request import FinishReason, PromptRun, Request, StepTime, Timings, Usage
from attendant.core.sampling import LengthDecay, SamplingParams, TimestampRule
from attendant.core.source import Source
from attendant.core.token_sequences import TokenSequences
from attendant.engine.facts import EngineFacts

OWN_WORDS: dict[type[AttendantError], Callable[[], AttendantError]] = {
    InvalidRequest: lambda: InvalidRequest("top_p", "is 1.5; allowed: greater than 0, at most 1"),
    TooLarge: lambda: TooLarge("body", "has 3 bytes; allowed: at most 2"),
    ContextExceeded: lambda: ContextExceeded("text", "has 9 tokens; allowed: at most 7"),
    ModelNotFound: lambda: ModelNotFound("nobody", ("one", "two"), "embed", ("broken",)),
    ModelFailed: lambda: ModelFailed("broken", "its file is cut"),
    Overloaded: lambda: Overloaded("too much", 0.25),
    QueueFull: lambda: QueueFull("one", 8, 0.25, "inputs"),
    WouldBeLate: lambda: WouldBeLate("one", "the first token", 2.5, 1.0, 0.25),
    BundleError: lambda: BundleError("bundle/manifest.json", "is not JSON"),
    DeviceOutOfMemory: lambda: DeviceOutOfMemory(0, None, 10**8, 8 * 10**9, "KV memory"),
    MemoryTaken: lambda: MemoryTaken("one", "GPU 0", 3, 1, (("other", 2),)),
}
"""Errors whose constructors take something else than a message."""


def tree(kind: type[AttendantError] = AttendantError) -> Iterator[type[AttendantError]]:
    """A class of errors and all below it that the server has."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("attendant."):
            yield from tree(below)


def made(kind: type[AttendantError]) -> AttendantError:
    return OWN_WORDS[kind]() if kind in OWN_WORDS else kind("what happened, in words")


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy], ids=["pickle", "copy"])
def test_every_error_crosses(kind: type[AttendantError], way: Callable[[AttendantError], AttendantError]) -> None:
    error = made(kind)
    error.__cause__ = RuntimeError("of the device")
    crossed = way(error)
    assert type(crossed) is kind
    assert (str(crossed), crossed.args, vars(crossed)) == (str(error), error.args, vars(error))
    assert isinstance(crossed, AttendantError)


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = set((errors.__doc__ or "").split())
    assert {kind.__name__ for kind in tree()} <= drawn


PARAMS = SamplingParams(
    max_tokens=5,
    logit_bias={3: -1.5},
    opening=((1, 2), (3,)),
    timestamps=TimestampRule(first=50, no_timestamps=49, eos=2, max_initial=25),
    sequence_bias=TokenSequences([((1, 2), 0.5), ((3,), -1.0)]),
    length_decay=LengthDecay(4, 1.1, (2,)),
)
USAGE, TIMINGS = Usage(3, 1, 2), Timings(1, 2, 3, 4, 5, (PromptRun(6, 7, 0, 3),), steps=(StepTime("s", "m", 1, 2),))
FINISHED = FinishedEvent("1", FinishReason.STOP, USAGE, TIMINGS, 2)
TOKEN = TokenEvent("1", 7, TokenLogprob(7, -0.5, ((7, -0.5), (8, -1.0)), (-2.0,)))
STATS = StepStats(num_running=1, step_ns=5)
ROW = Row("1", {"input_ids": np.arange(3)}, 3, 10, 20)
RESULT = RowResult("1", {"logits": np.arange(6, dtype=np.float32).reshape(2, 3)[1]}, 10, 5)
FAILURE = RowFailure("2", StepFailed("the run failed"))
WEIGHTS = np.full((2, 3, 4), 0.25, np.float32)
SHAPE = AttentionShape("self", 2, 4)
SUBJECT = AttentionSubject({"input_ids": np.arange(3)}, Source({"input_ids": np.arange(4)}, 4))
JOB = AttentionJob("1", SUBJECT, AttentionView("self", (0, 1), (2,)), 10, 20, keeps_hidden=True)
JOB_RESULT = JobResult("1", (AttentionPiece(1, (2, 3), WEIGHTS),), WEIGHTS[0], 10, 5)
CROSSING = (
    Request("1", (4, 5), PARAMS, 10, 20, Source({"input_ids": np.arange(4)}, 4), BeamParams(2, 2), ("1", "2")),
    *(FINISHED, TOKEN, FailedEvent("1", QueueFull("one", 8, 0.25), USAGE, TIMINGS)),
    StepReport((TOKEN, FINISHED), STATS, 10),
    *(JOB, JobReport((JOB_RESULT, JobFailure("2", StepFailed("the run failed"), 5)))),
    *(SHAPE, AttentionRun((AttentionPart("self", 1, 2, WEIGHTS),), 2, WEIGHTS[0])),
    *(ROW, BatchReport((RESULT, FAILURE), BatchStats(1, 3, 4, 5)), EngineFacts("one-0", 4, 64, 256, 16)),
)


def differences(one: object, other: object, where: str = "it") -> list[str]:
    """Where two values differ: those without an ``==`` of their own, and arrays, are looked into."""
    if type(one) is not type(other):
        return [f"{where}: {type(one).__name__} became {type(other).__name__}"]
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return [] if one.dtype == other.dtype and np.array_equal(one, other) else [where]
    if isinstance(one, AttendantError):
        return differences((one.args, vars(one)), (other.args, vars(other)), where)  # type: ignore[attr-defined]
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return [x for name in names for x in differences(getattr(one, name), getattr(other, name), f"{where}.{name}")]
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return differences(list(one.items()), list(other.items()), where)
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        if len(one) != len(other):
            return [where]
        return [x for i, (a, b) in enumerate(zip(one, other, strict=True)) for x in differences(a, b, f"{where}[{i}]")]
    return [] if one == other else [where]


@pytest.mark.parametrize("value", CROSSING, ids=lambda value: type(value).__name__)
def test_every_order_and_report_crosses(value: object) -> None:
    assert differences(value, pickle.loads(pickle.dumps(value))) == []


def test_no_kind_of_what_crosses_is_left_out() -> None:
    def inside(value: object) -> Iterator[type]:
        yield type(value)
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from inside(getattr(value, field.name))
        elif isinstance(value, list | tuple):
            for each in value:
                yield from inside(each)

    def declared(module: ModuleType) -> set[type]:
        return {
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind)
        }

    seen = {kind for value in CROSSING for kind in inside(value)}
    rooms = (attention, beams, encoding, events, request, sampling, source)
    assert set().union(*map(declared, rooms)) <= seen
