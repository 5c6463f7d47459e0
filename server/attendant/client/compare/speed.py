"""Figures of speed and cost out of timed requests."""

from __future__ import annotations

from collections.abc import Sequence

from attendant.client.compare.figures import Spread, cost_per_1000
from attendant.client.compare.report import Row, Section
from attendant.client.compare.timing import Clocked


def speed_section(clocks: Sequence[Clocked], concurrency: int, price_per_hour: float | None) -> Section:
    """Medians of all requests, or of all rounds, with their quarters."""
    generates = any(clock.num_tokens and any(clock.num_tokens) for clock in clocks)
    rows = _of_tokens(clocks) if generates else []
    rows.append(Row.of_spreads("whole answer", _milliseconds(clocks, "total_s"), "ms", "less"))
    rate = tuple(Spread.of([clock.per_round / seconds for seconds in clock.rounds]) for clock in clocks)
    rows.append(Row.of_spreads("requests a second", rate, "", "more"))
    seconds = tuple(sum(clock.rounds) / len(clock.requests) for clock in clocks)
    rows.append(Row("machine time of 1,000 requests", tuple(1000 * each for each in seconds), "s", "less"))
    if price_per_hour is not None:
        costs = tuple(cost_per_1000(each, price_per_hour) for each in seconds)
        rows.append(Row("cost of 1,000 requests", costs, "", "less"))
    calls = "one call at a time" if concurrency == 1 else f"{concurrency} calls at once"
    rounds = len(clocks[0].rounds)
    price = "" if price_per_hour is None else f"; a machine costs {price_per_hour:g} an hour"
    return Section("Speed", tuple(rows), f"{calls}, {rounds} rounds in turns, median [quarters]{price}")


def _of_tokens(clocks: Sequence[Clocked]) -> list[Row]:
    tokens = tuple(
        Spread.of([number / seconds for number, seconds in zip(clock.num_tokens, clock.rounds, strict=True)])
        for clock in clocks
    )
    return [
        Row.of_spreads("first token", _milliseconds(clocks, "first_token_s"), "ms", "less"),
        Row.of_spreads("between two tokens", _milliseconds(clocks, "inter_token_s"), "ms", "less"),
        Row.of_spreads("tokens a second", tokens, "", "more"),
    ]


def _milliseconds(clocks: Sequence[Clocked], name: str) -> tuple[Spread | None, ...]:
    return tuple(
        Spread.of([1000 * value for each in clock.requests if (value := getattr(each, name)) is not None])
        for clock in clocks
    )
