"""A sweep watches closed loops until windows are alike, and says what a call took over each protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attendant_loadtest.sweep.__main__ import main
from attendant_loadtest.sweep.callers import Unfit, generator
from attendant_loadtest.sweep.table import table
from attendant_loadtest.sweep.windows import Sample, Window, alike, figures, measure
from attendant_proto.openinference.inference_pb2 import ModelStreamInferResponse

from tests.system.server import ServerProcess, serving


def window(per_s: float, total_s: float) -> Window:
    return Window(1.0, [Sample(total_s, total_s)] * round(per_s))


def test_windows_are_alike_if_neither_calls_nor_their_times_differ() -> None:
    assert alike([window(10, 0.1), window(11, 0.1), window(10, 0.105)], 0.1)
    assert not alike([window(10, 0.1), window(20, 0.1), window(10, 0.1)], 0.1)
    assert not alike([window(10, 0.1), window(10, 0.2), window(10, 0.1)], 0.1)
    assert not alike([window(0, 0.1)] * 3, 0.1), "nothing ended: nothing is known"


def test_figures_are_of_all_windows_together() -> None:
    first = Window(2.0, [Sample(0.001 * n, 0.0005 * n, (0.002,)) for n in range(1, 101)])
    found = figures(4, [first, Window(2.0, [Sample(0.2, 0.1, (0.004, 0.004))])], stable=True)
    assert (found.num_calls, found.per_s) == (101, 101 / 4.0)
    assert found.total_ms[50] == pytest.approx(51)
    assert found.total_ms[99] == pytest.approx(100)
    assert found.first_ms[50] == pytest.approx(25.5)
    assert found.gap_ms == pytest.approx({50: 2, 90: 2, 95: 2, 99: 4})


def test_a_closed_loop_has_so_many_calls_at_a_time_and_leaves_none() -> None:
    now, most = 0, 0

    async def call() -> Sample:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(0.001)
        finally:
            now -= 1
        return Sample(0.001, 0.001)

    found = asyncio.run(measure(call, concurrency=3, window_s=0.05, most_windows=4, tolerance=1e-9))
    assert (found.concurrency, most, now) == (3, 3, 0)
    assert not found.stable


def test_what_a_call_raises_ends_the_sweep() -> None:
    async def call() -> Sample:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        asyncio.run(measure(call, 2, 60.0, 2, 0.1))


def test_a_stream_without_a_token_is_an_error_in_words() -> None:
    async def stream(requests: object) -> AsyncIterator[Any]:
        yield ModelStreamInferResponse()

    channel = SimpleNamespace(stream_stream=lambda *args, **kwargs: stream, unary_unary=lambda *args, **kwargs: None)
    call = generator("openinference", cast("Any", channel), "m", 1, ["a"])
    with pytest.raises(Unfit, match="ended without a token"):
        asyncio.run(call())  # type: ignore[arg-type]


def test_the_table_says_what_is_not_steady_and_has_tokens_of_streams_only() -> None:
    whole = figures(1, [Window(1.0, [Sample(0.01, 0.01)])], stable=False)
    assert table([("a", whole)]).splitlines()[2] == "| a | 1 | 1.0 (unsteady) | 10.00 | 10.00 | 10.00 | 10.00 |"
    streamed = figures(1, [Window(1.0, [Sample(0.01, 0.002, (0.004, 0.004))])], stable=True)
    assert table([("a", streamed)]).splitlines()[2].endswith("| 2.00 | 2.00 | 4.00 | 4.00 |")


QUICK = ("--concurrency", "1,2", "--window", "0.2", "--most-windows", "2")


def test_a_generator_over_both_protocols(
    server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([server.grpc, *QUICK, "--max-tokens", "5", "--out", str(tmp_path / "out.json")]) == 0
    rows = json.loads((tmp_path / "out.json").read_text())
    expected = [(protocol, concurrency) for concurrency in (1, 2) for protocol in ("attendant.v1", "openinference")]
    assert [(row["protocol"], row["concurrency"]) for row in rows] == expected
    assert all(row["num_calls"] and row["gap_ms"]["50"] <= row["total_ms"]["99"] for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main([server.grpc, "nobody"]) == 1
    assert "NOT_FOUND" in capsys.readouterr().err


def test_an_encoder_over_both_protocols(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path / "log", "--demo", "--no-verify-bundles", "--encoder.threads", 1) as server:
        assert main([server.grpc, "sentiment", *QUICK]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 6
        assert main([server.grpc, "shapes", *QUICK]) == 1
        assert "classify_image" in capsys.readouterr().err
