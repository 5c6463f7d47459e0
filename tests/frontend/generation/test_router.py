"""The policy: the longest known prefix wins while its engine is not too busy, and an idle model uses all engines."""

from __future__ import annotations

import pytest
from attendant.frontend.generation.router import MIN_SLACK, PIECE_TOKENS, Router, _chain, _Pieces
from hypothesis import given
from hypothesis import strategies as st

MANY = 1000  # sequences that run together: nobody waits
SHORT = (1, 2, 3)  # less than a piece: nothing to remember


def prompt(family: int, pieces: int = 4) -> tuple[int, ...]:
    return tuple(family * 1000 + i for i in range(pieces * PIECE_TOKENS))


def slack(least: int) -> int:
    return max(MIN_SLACK, least // 4)


def test_an_idle_model_uses_its_engines_in_turns() -> None:
    router = Router(3, MANY)
    placed = []
    for _ in range(6):
        placed.append(router.place(SHORT))
        router.ended(placed[-1])
    assert placed == [0, 1, 2, 0, 1, 2]


def test_the_least_busy_engine_is_taken_when_nobody_knows_the_prompt() -> None:
    router = Router(3, MANY)
    assert [router.place(SHORT) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    router.ended(1)
    assert router.place(prompt(1)) == 1
    assert router.loads == (2, 2, 2)


def test_a_prompt_follows_its_prefix_while_the_slack_allows() -> None:
    router = Router(2, MANY)
    first = router.place(prompt(1))
    others = [router.place(prompt(1, 3) + SHORT) for _ in range(MIN_SLACK)]
    assert others == [first] * MIN_SLACK
    assert router.place(prompt(1)) != first
    # now both have it, the second one less to do
    assert router.place(prompt(1)) != first


def test_the_slack_grows_with_the_load() -> None:
    router = Router(2, MANY)
    for _ in range(80):
        router.place(SHORT)
    home = router.place(prompt(1))
    while (place := router.place(prompt(1))) == home:
        pass
    assert router.loads[home] == 40 + 40 // 4 + 1
    assert router.loads[place] == 41


def test_the_longest_prefix_wins() -> None:
    router = Router(3, MANY)
    short, long = router.place(prompt(1, 1) + prompt(2)), router.place(prompt(3) + prompt(4))
    assert short != long
    assert router.place(prompt(1, 1) + prompt(5)) == short
    assert router.place(prompt(3) + prompt(4) + prompt(6)) == long
    assert router.place(prompt(3, 2)) == long


def test_what_follows_another_beginning_is_another_prefix() -> None:
    router = Router(2, MANY)
    router.place(prompt(1) + prompt(2))
    assert router.place(prompt(2)) == 1


def test_nobody_waits_for_a_prefix_while_another_engine_has_room() -> None:
    router = Router(2, max_running=3)
    placed = [router.place(prompt(1)) for _ in range(4)]
    assert placed == [0, 0, 0, 1]


def test_when_all_are_full_the_prefix_counts_again() -> None:
    router = Router(2, max_running=1)
    assert [router.place(SHORT), router.place(prompt(1))] == [0, 1]
    assert [router.place(prompt(1)) for _ in range(MIN_SLACK)] == [1] * MIN_SLACK


def test_one_engine_costs_no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attendant.frontend.generation.router._chain", lambda prompt: 1 / 0)
    router = Router(1, MANY)
    assert [router.place(prompt(1)), router.place(prompt(1))] == [0, 0]
    router.ended(0)
    assert router.loads == (1,)


PROMPTS = st.builds(lambda family, pieces, own: prompt(family, pieces) + prompt(10 + own, 1), *(st.integers(0, 3),) * 3)
NUM_ENGINES = st.integers(2, 5)


@given(NUM_ENGINES, st.lists(st.sampled_from([SHORT, ()]), max_size=60))
def test_without_prefixes_arrivals_are_even(num_engines: int, prompts: list[tuple[int, ...]]) -> None:
    router = Router(num_engines, MANY)
    for arrived in prompts:
        router.place(arrived)
        assert max(router.loads) - min(router.loads) <= 1


@given(NUM_ENGINES, st.lists(PROMPTS, max_size=60))
def test_with_prefixes_arrivals_stay_within_the_slack(num_engines: int, prompts: list[tuple[int, ...]]) -> None:
    router = Router(num_engines, MANY)
    for arrived in prompts:
        router.place(arrived)
        assert max(router.loads) - min(router.loads) <= slack(min(router.loads)) + 1


@given(NUM_ENGINES, st.sampled_from([1, 3, MANY]), st.lists(st.one_of(PROMPTS, st.integers(0, 99)), max_size=80))
def test_any_schedule(num_engines: int, max_running: int, schedule: list[tuple[int, ...] | int]) -> None:
    """A number ends one of the live sequences."""
    router = Router(num_engines, max_running)
    live: list[int] = []
    for entry in schedule:
        before = router.loads
        if isinstance(entry, tuple):
            live.append(engine := router.place(entry))
            assert before[engine] <= min(before) + slack(min(before))
            assert before[engine] < max_running or min(before) >= max_running
        elif live:
            router.ended(live.pop(entry % len(live)))
        assert router.loads == tuple(live.count(engine) for engine in range(num_engines))


def test_more_ends_than_sequences_are_a_fault() -> None:
    router = Router(2, MANY)
    router.ended(router.place(SHORT))
    with pytest.raises(AssertionError):
        router.ended(0)


@given(st.integers(1, 12), st.lists(PROMPTS, min_size=1, max_size=30))
def test_memory_is_bounded_and_holds_whole_beginnings(max_pieces: int, prompts: list[tuple[int, ...]]) -> None:
    known = _Pieces(max_pieces)
    for sent in prompts:
        known.add(_chain(sent))
        assert len(known) <= max_pieces
        assert known.num_leading(_chain(sent)) == min(len(_chain(sent)), max_pieces)
    findable = {piece for sent in prompts for piece in _chain(sent)[: known.num_leading(_chain(sent))]}
    assert len(findable) == len(known)


def test_the_prompt_not_seen_for_longest_is_forgotten_first() -> None:
    known, chains = _Pieces(8), [_chain(prompt(family)) for family in range(3)]
    for family in (0, 1, 0, 2):
        known.add(chains[family])
    assert [known.num_leading(chain) for chain in chains] == [4, 0, 4]
