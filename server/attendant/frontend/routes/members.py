"""The members of an ensemble, run side by side: one that fails ends the call, or the others go on without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, DeadlineExceeded, InvalidRequest, RequestCancelled
from attendant.core.request import StepTime
from attendant.frontend.encoding.calls import Encoded, EncodingUsage, added_up
from attendant.frontend.routes.graph import Route, Target
from attendant.frontend.routes.routing import Hop, Routes
from attendant.settings.routes import OnFailure

_THE_CALLS_OWN = (InvalidRequest, DeadlineExceeded, RequestCancelled)
"""Errors that all members would have: nobody goes on without one that has them."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a member said, and when it began and ended, monotonic."""

    target: Target
    answer: Encoded[Any]
    began_ns: int
    ended_ns: int


async def run_members(
    routes: Routes, route: Route, on_failure: OnFailure, ask: Callable[[int, Target], Awaitable[Encoded[Any]]]
) -> list[Said]:
    """What the members of ``route`` say that have a weight, in their order; of those that failed nothing.

    Args:
        ask: runs a call on a member, by its index.

    Raises:
        AttendantError: of the first member that failed, unless others may go on without it.
    """

    async def one(index: int, target: Target) -> Said:
        began_ns = time.monotonic_ns()
        with routes.counted([Hop(route, target)]):
            answer = await ask(index, target)
        return Said(target, answer, began_ns, time.monotonic_ns())

    tasks = [asyncio.ensure_future(one(i, target)) for i, target in enumerate(route.targets) if target.weight]
    when = asyncio.FIRST_EXCEPTION if on_failure == "fail" else asyncio.ALL_COMPLETED
    try:
        await asyncio.wait(tasks, return_when=when)
        errors = [error for task in tasks if task.done() and (error := task.exception()) is not None]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    _raise_what_counts(errors, len(tasks), on_failure)
    return [task.result() for task in tasks if task.exception() is None]


def _raise_what_counts(errors: Sequence[BaseException], num_members: int, on_failure: OnFailure) -> None:
    for error in errors:
        if on_failure == "fail" or isinstance(error, _THE_CALLS_OWN) or not isinstance(error, AttendantError):
            raise error
    if errors and len(errors) == num_members:
        raise errors[0]


def usage_of(said: Sequence[Said], context: CallContext) -> EncodingUsage:
    """What the members took together, who all had the same inputs."""
    usages = [each.answer.usage for each in said]
    steps = tuple(
        StepTime(
            each.target.label, each.target.model, each.began_ns - context.arrival_ns, each.ended_ns - each.began_ns
        )
        for each in said
    )
    usage = added_up(usages, time.monotonic_ns() - context.arrival_ns, steps)
    return replace(usage, num_truncated=max(each.num_truncated for each in usages))
