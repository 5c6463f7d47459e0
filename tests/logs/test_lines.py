"""Lines of the log: nobody forges one, machines can read each, and people most."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

import pytest
from attendant.core.context import CallContext, TraceContext, working_for
from attendant.core.stages import CallEnd
from attendant.logs.lines import JsonLines, TextLines, prepare
from hypothesis import given
from hypothesis import strategies as st

from tests.logs.records import answered, record, record_of, tally_of

FORMATS: list[logging.Formatter] = [TextLines(), JsonLines()]
EVIL = "x\n2026-01-01T00:00:00.000Z INFO attendant.requests: [forged] request outcome=ok\r\x1b[2J\u2028\x85 \"'={}"
BEGIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [a-z.]+: ")


def begins(written: str) -> list[str]:
    """The lines of a text that can be taken for the begin of one, however its reader splits them."""
    return [line for line in written.splitlines() if BEGIN.match(line)]


@pytest.mark.parametrize("lines", FORMATS)
def test_a_name_cannot_forge_a_line(lines: logging.Formatter) -> None:
    tally = answered(EVIL, request_id="id", client=EVIL)
    tally.subject = tally.tenant = tally.method = tally.part = EVIL
    written = lines.format(record_of(tally))
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written
    if isinstance(lines, JsonLines):
        assert json.loads(written)["requested_model"] == EVIL


@pytest.mark.parametrize("lines", FORMATS)
@given(text=st.text(st.characters(codec=None)))
def test_no_message_and_no_exception_can_forge_a_line(lines: logging.Formatter, text: str) -> None:
    for said in (record("it says %s", text + EVIL), record("it fails", error=ValueError(text + EVIL))):
        prepare(said)
        written = lines.format(said)
        assert written.encode(errors="strict")
        assert not {*written} & {"\r", "\x1b", "\x85", "\u2028"}
        if isinstance(lines, JsonLines):
            assert json.loads(written)["message"]
            assert "\n" not in written
        else:
            assert len(begins(written)) == 1
            assert all(line.startswith("    ") for line in written.splitlines()[1:])


def test_an_exception_is_one_field() -> None:
    try:
        raise RuntimeError("lost")
    except RuntimeError as error:
        failed = record("it failed", error=error)
    prepare(failed)
    line = json.loads(JsonLines().format(failed))
    assert (line["level"], line["logger"], line["message"]) == ("warning", "attendant.tests", "it failed")
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("RuntimeError: lost")
    assert "\n    Traceback (most recent call last):" in TextLines().format(failed)


def test_a_line_of_a_call_has_its_ids_and_the_time() -> None:
    trace = TraceContext("a" * 32, "b" * 16)
    said = record("hello %d", 7)
    with working_for(CallContext.new("mine", trace=trace)):
        prepare(said)  # where it is made; it is written elsewhere
    line = json.loads(JsonLines().format(said))
    assert (line["message"], line["request_id"], line["trace_id"]) == ("hello 7", "mine", "a" * 32)
    told = datetime.fromisoformat(line["time"])
    assert told.tzinfo == UTC
    assert abs(told.timestamp() - said.created) < 0.0011
    assert TextLines().format(said) == f"{line['time']} WARNING attendant.tests: [mine] hello 7"


def test_the_line_of_a_request() -> None:
    tally = answered("other", request_id="mine", client="ipv4:10.0.0.1:1")
    line = json.loads(JsonLines().format(record_of(tally)))
    for name in ("time", "total_ms"):
        assert line.pop(name) is not None
    assert line == {
        "level": "info",
        "logger": "attendant.requests",
        "message": "request",
        "request_id": "mine",
        "protocol": "grpc",
        "method": "a.B/C",
        "model": "demo",
        "version": "1",
        "requested_model": "other",
        "client": "ipv4:10.0.0.1:1",
        "prompt_tokens": 3,
        "cached_tokens": 1,
        "completion_tokens": 5,
        "queue_ms": 1.0,
        "first_token_ms": 2.0,
        "finish_reasons": ["stop"],
        "outcome": "ok",
        "code": "OK",
    }
    text = TextLines().format(record_of(tally))
    assert " INFO attendant.requests: [mine] request protocol=grpc method=a.B/C model=demo version=1 " in text
    assert " finish_reasons=stop outcome=ok code=OK" in text


def test_a_request_that_never_reached_a_model_tells_what_it_asked_for() -> None:
    call = CallContext.new("mine")
    tally = tally_of(call)
    tally.asks("nobody", 5)
    tally.fails(LookupError)
    tally.close(call, CallEnd("NOT_FOUND", refused=True))
    line = json.loads(JsonLines().format(record_of(tally)))
    told = (line["model"], line["priority"], line["outcome"], line["code"], line["error"])
    assert told == ("nobody", 5, "refused", "NOT_FOUND", "LookupError")
    assert not {"version", "prompt_tokens", "queue_ms", "requested_model", "n", "rows"} & {*line}
