"""What goes with a call: its id in every line of the log, its clock, its trace."""

from __future__ import annotations

import asyncio
import io
import logging
import pickle
import time

import pytest
from attendant.core.context import CallContext, TraceContext, current_call, working_for
from attendant.core.log_lines import NamesCall
from attendant.tasks.job_threads import JobThreads

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN)),
        (f"00-{TRACE}-{SPAN}-02", TraceContext(TRACE, SPAN)),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", TraceContext(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
    ],
)
def test_a_trace_is_what_its_header_says(header: str, trace: TraceContext | None) -> None:
    assert TraceContext.parse(header) == trace
    if trace is not None:
        assert TraceContext.parse(str(trace)) == trace


def test_a_part_of_a_call_has_a_new_arrival_and_the_same_rest() -> None:
    context = CallContext.new("mine", 60.0, client="here", trace=TraceContext(TRACE, SPAN))
    part = context.renewed()
    assert part.arrival_ns >= context.arrival_ns
    assert (part.request_id, part.deadline_ns, part.client, part.trace) == (
        *("mine", context.arrival_ns + 60 * 10**9, "here"),
        context.trace,
    )
    assert pickle.loads(pickle.dumps(context)) == context
    left_s = context.time_left_s()
    assert left_s is not None
    assert 0 < left_s <= 60
    assert CallContext("x", 0, time.monotonic_ns() - 1).time_left_s() < 0
    assert CallContext.new().time_left_s() is None
    assert CallContext.new().request_id != CallContext.new().request_id


def lines_of(test: object) -> list[str]:
    """What a coroutine logs, formatted as a server's log is."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(NamesCall())
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(call)s%(message)s"))
    logger = logging.getLogger("attendant.tests")
    logger.addHandler(handler)
    try:
        asyncio.run(test)  # type: ignore[arg-type]
    finally:
        logger.removeHandler(handler)
    return stream.getvalue().splitlines()


def test_every_line_says_for_whom_it_was_written() -> None:
    logger, media = logging.getLogger("attendant.tests"), JobThreads(1)

    async def part(name: str) -> None:
        await asyncio.sleep(0)
        logger.warning("a task of %s", name)
        await asyncio.to_thread(logger.warning, "a thread of %s", name)
        await media.run(lambda: logger.warning("a media thread of %s", name))

    async def call(name: str) -> None:
        with working_for(CallContext.new(name)):
            logger.warning("begin of %s", name)
            await asyncio.create_task(part(name))

    async def test() -> None:
        await asyncio.gather(call("one"), call("two"))
        assert current_call() is None
        logger.warning("nobody's")

    found = lines_of(test())
    media.close()
    assert found.pop() == "WARNING attendant.tests: nobody's"
    assert len(found) == 8
    for line in found:
        name = line.rpartition(" ")[2]
        assert line.startswith(f"WARNING attendant.tests: [{name}] ")
