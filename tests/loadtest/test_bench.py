"""The benchmark end to end on a tiny bundle, and its arithmetic."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from attendant_loadtest.bench.bundles import SPECIAL, VOCABULARY, tokenizer
from attendant_loadtest.bench.measurement import Measurement, quantile
from attendant_loadtest.bench.report import rows, table
from attendant_loadtest.bench.rounds import BARE, ENGINE, SERVER, Plan
from attendant_loadtest.bench.workload import Workload

from tests.system.server import environment


def test_all_three_ways_are_measured(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    words = ["-m", "attendant_loadtest.bench", "--bundle", bundle, "--quick", "--concurrency", "1,3", "--out", out]
    process = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) == 4
    found = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row["concurrency"] for row in found] == [1, 3]
    for row in found:
        assert min(row["bare"], row["engine"], row["server"]) > 0
        assert 0 < row["figures"]["engine_host_us_per_step"] < 1e6
        assert row["figures"]["engine_decode_batch"] <= row["concurrency"]
        assert row["figures"]["server_tokens_per_message"] > 0


def test_a_bundle_that_is_not_one_is_told(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "attendant_loadtest.bench", "--bundle", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert "bundle.json" in process.stderr


def test_prompts_differ() -> None:
    prompts = Workload(2, 6, 16, 4, vocab_size=1000, seed=1).prompts()
    others = Workload(2, 6, 16, 4, vocab_size=1000, seed=2).prompts()
    assert len({tuple(prompt[:4]) for prompt in (*prompts, *others)}) == 12
    assert all(len(prompt) == 16 and min(prompt) >= 0 and max(prompt) < 1000 for prompt in prompts)


def test_every_token_of_the_bench_model_has_a_text() -> None:
    made = tokenizer()
    assert made.get_vocab_size() == VOCABULARY
    for token in (len(SPECIAL), 1000, VOCABULARY - 1):
        assert made.decode([token])


def test_ratios_are_medians_of_the_rounds_ratios() -> None:
    def measurements(*walls: float, others: float = 0.01) -> list[Measurement]:
        names = ["prompt_tokens_per_s", "host_us_per_step", "host_us_per_sequence_step", "server_us_per_token"]
        names += ["client_us_per_token", "first_token_p50_ms", "first_token_p99_ms"]
        names += ["inter_token_p50_ms", "inter_token_p99_ms"]
        return [Measurement(100, 10, wall, others, dict.fromkeys(names, 1.0)) for wall in walls]

    results = {
        (4, BARE): measurements(1.0, 2.0, 4.0),
        (4, ENGINE): measurements(2.0, 2.5, 4.0),
        (4, SERVER): measurements(4.0, 4.0, 4.0),
    }
    (row,) = rows("int8", results, Plan(concurrency=(4,)))
    assert row.engine_ratio == pytest.approx(0.8)
    assert row.server_ratio == pytest.approx(0.5)
    assert row.bare == pytest.approx(50)
    assert row.others == pytest.approx(0.01)
    assert row.quiet == 3
    assert len({line.count("|") for line in table([row]).splitlines()}) == 1


def test_rounds_that_others_disturbed_do_not_count_unless_all_were() -> None:
    def results(*others: float) -> dict[tuple[int, str], list[Measurement]]:
        walls = (1.0, 2.0)
        bare = [Measurement(100, 10, 1.0, 0.0)] * 2
        engine = [Measurement(100, 10, wall, o) for wall, o in zip(walls, others, strict=True)]
        return {(4, BARE): bare, (4, ENGINE): engine, (4, SERVER): bare}

    plan = Plan(concurrency=(4,), quiet=0.1)
    (row,) = rows("int8", results(0.0, 0.5), plan)
    assert (row.quiet, row.engine_ratio, row.others) == (1, 1.0, 0.0)
    (row,) = rows("int8", results(0.5, 0.7), plan)
    assert (row.quiet, row.engine_ratio, row.others) == (0, 0.75, 0.7)


def test_quantiles() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(list(map(float, range(100))), 0.99) == 99.0
    assert quantile([7.0], 0.99) == 7.0
