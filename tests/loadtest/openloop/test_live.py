"""What is shown while a run goes on: on a terminal in its place, elsewhere nothing."""

from __future__ import annotations

import io

from attendant_loadtest.openloop.live import HEADS, Live, cells
from attendant_loadtest.openloop.loop import Run
from attendant_loadtest.openloop.samples import ANSWERED, FAILED, Sample
from attendant_loadtest.schedule.planned import Planned, Segment


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def going_on() -> Run:
    """At 2 s: two requests have ended, one of them badly, one is under way, one is to come."""
    samples = [Sample(Planned(at_s, (Segment(1, 4),), 3)) for at_s in (0.0, 0.5, 1.0, 9.0)]
    done, failed, open_, _ = samples
    done.sent_s = 0.0
    for moment in (0.1, 0.15, 0.2):
        done.take(moment, 1)
    done.how, done.end_s = ANSWERED, 0.2
    failed.sent_s, failed.how, failed.end_s = 0.53, FAILED, 0.6
    open_.sent_s = 1.0
    open_.take(1.2, 1)
    return Run(samples, now_s=lambda: 2.0)


def test_a_row_says_how_it_goes() -> None:
    row = dict(zip(HEADS, cells(going_on()), strict=True))
    assert row["due"] == "3"
    assert row["made"] == "3 of 4"
    assert (row["under way"], row["answered"], row["not"]) == ("1", "1", "1")
    assert row["tokens/s"] == "2", "four tokens in two seconds"
    assert row["TTFT p50"] == "150 ms"
    assert row["client late"] == "30 ms"


def test_a_terminal_shows_it_in_its_place_and_a_file_does_not() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        live = Live("4 requests/s", stream)
        live.show(going_on())
        live.show(going_on())  # at once: not drawn again
        live.clear()
        live.clear()
    assert file.getvalue() == ""
    said = terminal.getvalue()
    assert said.count("4 requests/s") == 1
    assert said.count("\x1b[2F\x1b[J") == 1, "taken away once"


def test_a_run_that_has_not_begun_says_nothing_that_is_not_so() -> None:
    run = Run([Sample(Planned(0.0, (Segment(1, 4),), 3))], now_s=lambda: -0.1)
    assert cells(run) == ("0", "0 of 1", "0", "0", "0", "", "", "", "", "")
