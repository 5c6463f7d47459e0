"""A soak of seconds: the same code that runs for minutes by `python -m tests.soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import main
from tests.soak.run import Soaked
from tests.soak.served import soak


def test_every_answer_under_load_is_the_one_alone(tmp_path: Path) -> None:
    found = soak(tmp_path, 4.0, seed=1, measure_s=1.0, whisper=False)
    assert found.wrong == []
    assert found.switches >= 1
    assert found.bound > 0
    kinds = {end.partition(" ")[0] for end in found.ends if end.endswith(" equal")}
    assert kinds >= {"generator", "encoder", "translator", "schema", "tools", "beams"}


@pytest.mark.parametrize(("last", "expected"), [(1000, 1.0), (1030, 1.03), (500, 0.5)])
def test_memory_that_grows_is_seen(last: int, expected: float) -> None:
    """Of what was held before it settled, nothing counts."""
    found = Soaked(resident=[(float(at), 100 if at < 60 else 1000) for at in range(500)])
    found.resident += [(500.0 + at, last) for at in range(200)]
    assert found.growth(60.0) == expected


def test_ten_minutes(tmp_path: Path) -> None:
    assert main(["--minutes", "10", "--seed", "19", "--json", str(tmp_path / "soak.json")]) == 0
