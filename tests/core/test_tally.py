"""The account of a request: it ends once, after everything that was begun for it."""

from __future__ import annotations

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import QueueFull
from attendant.core.request import Timings, Usage
from attendant.core.stages import CallEnd
from attendant.logs.fields import fields_of
from attendant.logs.requests import is_chosen

from tests.logs.records import Taken, tally_of

OK = CallEnd("OK")


def test_a_request_is_told_of_once_its_sequences_have_ended() -> None:
    log, call = Taken(), CallContext.new()
    tally = tally_of(call, log)
    tally.begins_sequence()
    tally.begins_sequence()
    tally.ends_sequence(0, call.arrival_ns, Usage(7, 2, 3), Timings(), "stop")
    tally.close(call, CallEnd("CANCELLED", refused=True, cancelled=True))
    ended_ns = tally.end_ns
    assert not log.tallies
    tally.ends_sequence(1, call.arrival_ns, Usage(7, 5, 4), Timings(num_preemptions=2), "cancelled")
    assert log.tallies == [tally]
    told = fields_of(tally)
    assert (told["prompt_tokens"], told["cached_tokens"], told["completion_tokens"]) == (
        7,
        2,
        7,
    )  # a prompt counts once
    assert (told["finish_reasons"], told["preemptions"]) == (["stop", "cancelled"], 2)
    assert (told["outcome"], tally.end_ns) == ("cancelled", ended_ns)
    tally.close(call, OK)
    assert log.tallies == [tally]
    assert tally.outcome == "cancelled"


def test_times_are_those_from_the_arrival_of_the_request() -> None:
    call = CallContext.new()
    tally, later_ns = tally_of(call), call.arrival_ns + 5 * 10**6
    tally.begins_sequence()
    tally.ends_sequence(0, later_ns, Usage(1, 0, 1), Timings(10**6, first_token_ns=2 * 10**6), "")
    tally.encoded(call.arrival_ns, 7 * 10**6)
    tally.close(call, OK)
    told = fields_of(tally)
    assert (told["queue_ms"], told["first_token_ms"]) == (6.0, 7.0)
    assert "finish_reasons" not in told


def test_the_first_error_and_the_name_that_the_caller_used_count() -> None:
    call = CallContext.new()
    tally = tally_of(call)
    tally.asks("alias", 3)
    tally.asks("target", 4)
    tally.runs_on("target", "2")
    tally.runs_on("target", "2")
    tally.runs_on("second", "1")
    tally.fails(QueueFull)
    tally.fails(ValueError)
    tally.close(call, CallEnd("RESOURCE_EXHAUSTED", refused=True))
    told = fields_of(tally)
    assert (told["model"], told["version"], told["requested_model"]) == ("target", "2", "alias")
    assert (told["models"], told["priority"]) == (["target", "second"], 4)
    assert (told["outcome"], told["error"]) == ("refused", "QueueFull")


def test_requests_of_a_stream_have_accounts_of_their_own() -> None:
    log = Taken()
    call = CallContext.new("stream")
    whole = tally_of(call, log, text_limit=3)
    for name in ("one", "two" * 1000):
        part = whole.begin_part(call, name)
        part.hears(0, "abcd")
        part.close(call, OK)
    whole.close(call, OK)
    assert [len(each.part) for each in log.tallies] == [3, 200, 0]
    assert [fields_of(each).get("requests") for each in log.tallies] == [None, None, 2]
    assert log.tallies[0].answers == {0: "abc"}


def test_texts_are_kept_only_where_that_is_asked_for_and_cut() -> None:
    call = CallContext.new()
    without, brief = tally_of(call), tally_of(call, text_limit=12)
    for tally in (without, brief):
        tally.says([("system", "be brief"), ("user", "hello")])
        tally.says([("user", "a second prompt")])
        for piece in ("I am ", "most ", "brief"):
            tally.hears(0, piece)
        tally.close(call, OK)
    assert not {"prompt", "answers"} & {*fields_of(without)}
    assert fields_of(brief)["prompt"] == "system: be b"
    assert fields_of(brief)["answers"] == ["I am most br"]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_is_drawn_by_the_id(share: float) -> None:
    ids = [f"id-{number}" for number in range(4000)]
    chosen = [name for name in ids if is_chosen(name, share)]
    assert abs(len(chosen) / len(ids) - share) < 0.05
    assert all(is_chosen(name, max(share, 0.5)) for name in chosen)
