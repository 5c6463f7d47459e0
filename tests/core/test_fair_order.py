"""The order of those who wait, against a plain account of the rules."""

from __future__ import annotations

import pytest
from attendant.core.evenness import WINDOW_NS, Evenness, jains_index
from attendant.core.fair_order import MOST_TENANTS, FairQueue, OrderRules, Service, Ticket
from hypothesis import given, settings
from hypothesis import strategies as st

S = 1_000_000_000


def queue(*waiting: tuple[str, int, int], fair: bool = True, aging_s: int = 10) -> FairQueue[str]:
    """Of (tenant, priority, arrival in seconds), named by tenant and number."""
    rules = OrderRules(fair=fair, aging_ns=aging_s * S)
    found: FairQueue[str] = FairQueue(rules, Service(rules))
    for order, (tenant, priority, arrival_s) in enumerate(waiting):
        found.add(Ticket(order, tenant, priority, arrival_s * S), f"{tenant}{order}")
    return found


def taken(waiting: FairQueue[str], now_s: int = 0, cost: int = 10) -> list[str]:
    """One after the other, each charged with ``cost``."""
    found = []
    while first := waiting.first(now_s * S):
        level, ticket, name = first
        assert waiting.remove(ticket) == name
        waiting.service.picked(level, ticket.tenant)
        waiting.service.charge(level, ticket.tenant, cost)
        found.append(name)
    return found


def test_tenants_take_turns_and_each_has_its_own_in_order_of_arrival() -> None:
    waiting = [("a", 0, 0), ("a", 0, 0), ("a", 0, 0), ("b", 0, 0), ("b", 0, 0)]
    assert taken(queue(*waiting)) == ["a0", "b3", "a1", "b4", "a2"]
    assert taken(queue(*waiting, fair=False)) == ["a0", "a1", "a2", "b3", "b4"]


def test_who_stayed_away_has_saved_nothing() -> None:
    waiting = queue(*[("a", 0, 0)] * 5)
    found = []
    for _ in range(3):
        level, ticket, name = waiting.first(0) or (0, Ticket(0), "")
        waiting.remove(ticket)
        waiting.service.picked(level, "a")
        waiting.service.charge(level, "a", 10)
        found.append(name)
    for order in (5, 6, 7):
        waiting.add(Ticket(order, "b"), f"b{order}")
    assert found + taken(waiting) == ["a0", "a1", "a2", "b5", "a3", "b6", "a4", "b7"]


def test_the_higher_priority_is_first_and_waiting_reaches_it_but_not_more() -> None:
    waiting = [("a", 0, 0), ("a", 2, 15), ("a", 2, 19), ("a", 1, 19)]
    assert taken(queue(*waiting), now_s=19) == ["a1", "a2", "a0", "a3"]
    assert taken(queue(*waiting), now_s=20) == ["a0", "a1", "a2", "a3"]
    assert taken(queue(*waiting, aging_s=0), now_s=10**6) == ["a1", "a2", "a3", "a0"]
    # however long it has waited: among equals tenants share, whoever is oldest
    assert taken(queue(("a", 0, 0), ("a", 0, 0), ("b", 0, 99)), now_s=99) == ["a0", "b2", "a1"]


def test_what_was_had_at_one_level_counts_at_no_other() -> None:
    waiting = queue(("a", 0, 0), ("b", 0, 0), ("a", 5, 0), ("b", 5, 0))
    waiting.service.charge(5, "a", 1000)
    assert taken(waiting) == ["b3", "a2", "a0", "b1"]


WAITING = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1), st.integers(0, 30)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(WAITING, st.integers(0, 40), st.booleans(), st.integers(1, 5))
def test_the_order_that_is_told_is_the_order_they_are_taken_in(
    waiting: list[tuple[str, int, int]], now_s: int, fair: bool, cost: int
) -> None:
    several = queue(*waiting, fair=fair)
    order = [name for _, name in several.in_order(now_s * S, lambda _: cost)]
    assert len(several) == len(waiting)
    assert order == taken(several, now_s, cost)


def test_tenants_that_came_once_are_forgotten() -> None:
    service = Service(OrderRules())
    service.picked(0, "regular")
    service.charge(0, "regular", 10**6)
    for number in range(5 * MOST_TENANTS):
        service.picked(0, str(number))
        service.charge(0, str(number), 1)
    assert len(service._had) <= 2 * MOST_TENANTS + 1
    assert service.of(0, "regular") >= 10**6


@pytest.mark.parametrize(
    ("served", "index"), [([3, 3, 3], 1.0), ([5, 0, 0, 0], 0.25), ([1, 3], 0.8), ([], 1.0), ([0, 0], 1.0)]
)
def test_jains_index(served: list[float], index: float) -> None:
    assert jains_index(served) == pytest.approx(index)


def test_evenness_is_of_those_who_waited_all_the_time() -> None:
    even, half = Evenness(), WINDOW_NS // 2
    assert even.take({"a", "b", "c"}, [], 1) is None
    assert even.take({"a", "b"}, [("a", 1), ("b", 3), ("c", 100)], 1 + half) is None
    assert even.take({"a", "b"}, [("d", 100)], 1 + 2 * half) == pytest.approx(jains_index([1, 3]))
    assert even.take({"a"}, [("a", 9)], 1 + 4 * half) == 1
