"""aiperf replays a schedule of ours and counts what we count; its times: ``python -m tests.strangers.agree_aiperf``."""

from __future__ import annotations

from pathlib import Path

import attendant.demo
import pytest
from attendant_loadtest.schedule.arrivals import Constant
from attendant_loadtest.schedule.mix import alike, plan

from tests.strangers.agree_aiperf import COUNTS, FIGURES, by_aiperf, table, tokenizer_of
from tests.system.server import serving

BUNDLE = Path(attendant.demo.__file__).parent / "bundle"


@pytest.mark.network
def test_it_takes_our_bodies_at_our_moments(tmp_path: Path) -> None:
    with serving(tmp_path / "log", BUNDLE) as server:
        schedule = plan(Constant(4), alike(16, 8), 3, 1)
        found = by_aiperf(server, "demo", schedule, tmp_path, 1, tokenizer_of(BUNDLE, tmp_path))
    assert {name: found[name] for name in COUNTS} == {"requests": 12, "tokens": 96}
    assert all(found[name] > 0 for name in FIGURES)


def test_the_table_has_medians_and_how_far_they_are_apart() -> None:
    ours = [dict.fromkeys(FIGURES, value) for value in (1.0, 2.0, 30.0)]
    theirs = [dict.fromkeys(FIGURES, value) for value in (2.5, 2.5, 1.0)]
    assert table(ours, theirs).splitlines()[2] == "| tokens/s | 2.00 | 2.50 | 0.800 |"
