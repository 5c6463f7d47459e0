"""Who is compared with whom: the rule of like fidelity, rounds that are put together, and the tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant_loadtest.bench.peers import readings
from attendant_loadtest.bench.peers.fidelity import Fidelity
from attendant_loadtest.bench.peers.judge import Judged
from attendant_loadtest.bench.peers.readings import Reading, Round
from attendant_loadtest.bench.peers.standing import PROMPTS, Standing, Way, our_bits
from attendant_loadtest.bench.peers.standing_text import tables
from attendant_loadtest.bench.peers.table import Aim

TOTAL, P99 = "tokens/s, 8", "first p99"


def _way(name: str, bits: int, kl: float | None, *, decode_kl: float | None = None) -> Way:
    def fidelity(value: float | None) -> Fidelity | None:
        return None if value is None else Fidelity(2.8, value, 0.9)

    return Way(name, (bits, bits), 100.0, None if kl is None else Judged(fidelity(kl), fidelity(decode_kl)))


def _round(measure: str, *, others: float = 0.0, **figures: float) -> Round:
    return {measure: {name.replace("ours", "attendant int8"): Reading(v, others) for name, v in figures.items()}}


OURS = _way("attendant int8", 8, 0.010)


def test_less_faithful_peers_do_not_count() -> None:
    ways = [OURS, _way("near", 8, 0.0125), _way("far", 8, 0.0126), _way("closer", 4, 0.001)]
    rounds = [_round(TOTAL, ours=100, near=80, far=200, closer=50)] * 3
    (found,) = Standing(ways, rounds, {TOTAL: Aim(1.25)}).comparisons()
    assert found.like is not None
    assert found.same_bits is not None
    assert (found.like.peer, found.like.ratio, found.met) == ("near", 1.25, True)
    assert (found.same_bits.peer, found.same_bits.ratio) == ("far", 0.5)


def test_the_best_of_the_faithful_counts_whatever_its_bits() -> None:
    ways = [OURS, _way("slow", 8, 0.004), _way("fast", 4, 0.009)]
    (found,) = Standing(ways, [_round(TOTAL, ours=100, slow=50, fast=100)], {TOTAL: Aim(1.25)}).comparisons()
    assert found.like is not None
    assert (found.like.peer, found.met) == ("fast", False)


def test_of_times_the_shortest_is_the_best() -> None:
    ways = [OURS, _way("slow", 8, 0.004), _way("fast", 8, 0.009)]
    (found,) = Standing(ways, [_round(P99, ours=60, slow=200, fast=100)], {P99: Aim(0.5, least=False)}).comparisons()
    assert found.like is not None
    assert (found.like.peer, found.like.ratio, found.met) == ("fast", 0.6, False)


def test_nobody_is_as_faithful() -> None:
    standing = Standing([OURS, _way("far", 8, 0.5)], [_round(TOTAL, ours=100, far=50)], {TOTAL: Aim(1.25)})
    (found,) = standing.comparisons()
    assert (found.like, found.met) == (None, None)
    assert "| int8 | tokens/s, 8 | none | 2.00 (far; 1 quiet) | >= 1.25 | nobody to compare with |" in tables(standing)


def test_a_row_counts_by_the_half_that_is_measured() -> None:
    mixed = _way("attendant mixed", 8, 0.01, decode_kl=0.2)
    ways = [mixed, _way("eight", 8, 0.01), _way("four", 4, 0.25)]
    rounds: list[Round] = [
        {what: {way.name: Reading(100.0 if way.ours else 50.0 * way.bits[0]) for way in ways}}
        for what in (PROMPTS, TOTAL)
    ]
    prompts, total = Standing(ways, rounds, {PROMPTS: None, TOTAL: None}).comparisons()
    assert prompts.like is not None
    assert total.like is not None
    assert (prompts.like.peer, total.like.peer) == ("eight", "eight")
    del ways[1]
    (total,) = Standing(ways, rounds, {PROMPTS: None, TOTAL: None}).comparisons()
    assert total.like is not None
    assert (total.what, total.like.peer) == (TOTAL, "four"), "a quarter more than the worse half's"


def test_without_fidelity_the_bits_alone_tell() -> None:
    ways = [_way("attendant int8", 8, None), _way("eight", 8, None), _way("four", 4, None)]
    (found,) = Standing(ways, [_round(TOTAL, ours=100, eight=50, four=20)], {TOTAL: Aim(1.25)}).comparisons()
    assert found.like is None
    assert found.same_bits is not None
    assert (found.same_bits.peer, found.same_bits.ratio) == ("eight", 2.0)


def test_ratios_are_of_quiet_rounds_that_have_both() -> None:
    rounds = [
        _round(TOTAL, ours=100, near=100),
        _round(TOTAL, ours=130, near=100),
        _round(TOTAL, ours=900, near=100, others=0.5),
        _round(TOTAL, ours=700),
        _round(TOTAL, near=1),
    ]
    standing = Standing([OURS, _way("near", 8, 0.01)], rounds, {TOTAL: None})
    (found,) = standing.comparisons()
    assert found.like is not None
    assert (found.like.ratio, found.like.quiet) == (pytest.approx(1.15), 2)
    assert standing.figure(OURS, TOTAL) == 130


def test_rounds_survive_a_file(tmp_path: Path) -> None:
    import json

    rounds = [_round(TOTAL, ours=1.5, near=2), _round(P99, ours=3)]
    file = tmp_path / "out.json"
    file.write_text(json.dumps({"smollm2": {"rounds": readings.as_json(rounds)}}), encoding="utf-8")
    assert readings.read(file, "smollm2", "rounds") == rounds
    assert readings.read(file, "random", "rounds") == []


def test_the_table_says_both_halves_and_what_a_peer_cannot_do() -> None:
    ways = [_way("attendant mixed", 8, 0.0104, decode_kl=0.2), Way("broken", (8, 8), remark="pip failed")]
    text = tables(Standing(ways, [], {TOTAL: None}))
    assert "| attendant mixed | 100 | 2.800 | .01 / .2 | .900 |" in text
    assert "| broken |  |  |  |  |" in text
    assert "broken: pip failed" in text


def test_bits_of_our_precisions() -> None:
    found = {name: our_bits(name) for name in ("fp32", "int8", "int8_blocks", "int4", "int4_small", "mixed")}
    assert found == {
        "fp32": (32, 32),
        "int8": (8, 8),
        "int8_blocks": (8, 8),
        "int4": (4, 4),
        "int4_small": (4, 4),
        "mixed": (8, 4),
    }
