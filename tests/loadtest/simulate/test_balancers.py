"""Who gets a call."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import pytest
from attendant_loadtest.schedule.planned import Planned, Segment
from attendant_loadtest.simulate.balancers import BALANCERS, Affinity, LeastRequest, Orca, RoundRobin, prefix_key

S = 1_000_000_000


@dataclass
class Server:
    active: int = 0
    busy: float = 0.0


def call(key: int = 0) -> Planned:
    return Planned(0.0, (Segment(key, 5), Segment(1000, 5)), 1)


@pytest.mark.parametrize("name", BALANCERS)
def test_servers_that_are_alike_get_as_many(name: str) -> None:
    servers = [Server(2, 0.5) for _ in range(4)]
    balancer = BALANCERS[name](servers, 1)
    got = Counter(balancer.choose(call(), moment * S // 100) for moment in range(4000))
    assert min(got.values()) > 0.9 * 1000
    assert len(got) == 4


def test_round_robin_goes_around() -> None:
    balancer = RoundRobin([Server(), Server(), Server()])
    assert [balancer.choose(call(), 0) for _ in range(5)] == [0, 1, 2, 0, 1]


def test_of_two_the_one_with_fewer_calls() -> None:
    balancer = LeastRequest([Server(0), Server(9)], 3)
    got = Counter(balancer.choose(call(), 0) for _ in range(1000))
    assert 0.2 < got[1] / 1000 < 0.3, "only if it was drawn twice"


def test_by_what_servers_say_the_slow_one_gets_less() -> None:
    """The busier one is three times as slow: it settles where both are as busy."""
    servers = [Server(), Server()]
    balancer = Orca(servers)
    latest: deque[int] = deque(maxlen=100)
    got: Counter[int] = Counter()
    for moment in range(20 * 100):
        latest.append(balancer.choose(call(), moment * S // 100))
        servers[0].busy, servers[1].busy = latest.count(0) / 100, 3 * latest.count(1) / 100
        if moment >= 10 * 100:
            got[latest[-1]] += 1
    assert got[0] / got[1] == pytest.approx(3, rel=0.2)


def test_calls_that_begin_alike_go_to_one_server_while_it_has_room() -> None:
    servers = [Server() for _ in range(4)]
    balancer = Affinity(servers, RoundRobin(servers), prefix_key(frozenset(range(1, 100))))
    homes = {key: {balancer.choose(call(key), 0) for _ in range(3)} for key in range(1, 100)}
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 4
    (home,) = homes[1]
    servers[home].active = 50  # of a mean of 12.5, of which the double is allowed
    elsewhere = {balancer.choose(call(1), 0) for _ in range(3)}
    assert len(elsewhere) == 1
    assert elsewhere != {home}
    assert [balancer.choose(call(0), 0) for _ in range(4)] == [0, 1, 2, 3], "it begins like no other"
