"""A run in thought: requests come when the schedule says, replicas step, and one clock goes from event to event."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attendant.settings import AdmissionSettings

from attendant_loadtest.schedule.planned import Planned
from attendant_loadtest.simulate.balancers import BALANCERS, Affinity, Balancer, prefix_key
from attendant_loadtest.simulate.outcomes import Log
from attendant_loadtest.simulate.replica import FakeClock, Replica
from attendant_loadtest.simulate.subject import BadSubject, Subject

S = 1_000_000_000
BEGIN_NS = S
"""Where the clock stands when a schedule begins; 0 means never to some."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many replicas there are, and what stands before them.

    Attributes:
        balancer: the name of one of BALANCERS. affinity: prompts that begin alike go to the same replica.
        predict: requests that would be late are refused, and those end that have become hopeless.
        prefix_cache: replicas keep what they computed.
    """

    replicas: int = 1
    balancer: str = "round-robin"
    affinity: bool = False
    predict: bool = True
    prefix_cache: bool = True


def run(subject: Subject, schedule: Sequence[Planned], fleet: Fleet, seed: int = 0) -> Log:
    """Let the requests of a schedule come. The same arguments give the same.

    Raises:
        BadSubject: a request cannot fit the model's context, or there are no replicas.
    """
    _check(subject, schedule, fleet)
    clock, log = FakeClock(BEGIN_NS), Log(len(schedule))
    admission = AdmissionSettings(predict=fleet.predict, end_hopeless=fleet.predict)
    if not fleet.prefix_cache:
        subject = replace(subject, shape=replace(subject.shape, prefix_cache=False))
    replicas = [Replica(index, subject, clock, log, admission, seed) for index in range(fleet.replicas)]
    balancer = _balancer(replicas, schedule, fleet, seed)
    ends: list[tuple[int, int]] = []  # when steps end, and whose
    for number, planned in enumerate(schedule):
        at_ns = BEGIN_NS + int(planned.at_s * S)
        _go(clock, replicas, ends, at_ns)
        clock.now_ns = at_ns
        replica = replicas[balancer.choose(planned, at_ns)]
        if replica.come(number, planned) and replica.is_idle:
            _begin(replica, ends)
    _go(clock, replicas, ends, None)
    return log


def _go(clock: FakeClock, replicas: Sequence[Replica], ends: list[tuple[int, int]], until_ns: int | None) -> None:
    """End the steps that are over by then, and begin those that follow."""
    while ends and (until_ns is None or ends[0][0] <= until_ns):
        clock.now_ns, index = heapq.heappop(ends)
        replicas[index].end()
        _begin(replicas[index], ends)


def _begin(replica: Replica, ends: list[tuple[int, int]]) -> None:
    ends_ns = replica.begin()
    if ends_ns is not None:
        heapq.heappush(ends, (ends_ns, replica.index))


def _balancer(replicas: Sequence[Replica], schedule: Sequence[Planned], fleet: Fleet, seed: int) -> Balancer:
    chosen = BALANCERS[fleet.balancer](replicas, seed)
    if not fleet.affinity:
        return chosen
    times = Counter(planned.segments[0].key for planned in schedule)
    shared = frozenset(key for key, count in times.items() if count > 1)
    return Affinity(replicas, chosen, prefix_key(shared))


def _check(subject: Subject, schedule: Sequence[Planned], fleet: Fleet) -> None:
    if fleet.replicas < 1:
        raise BadSubject(f"{fleet.replicas} replicas; allowed: 1 or more")
    if fleet.balancer not in BALANCERS:
        raise BadSubject(f"balancer {fleet.balancer!r}; allowed: {', '.join(BALANCERS)}")
    most = subject.shape.context_length
    for planned in schedule:
        if planned.prompt + planned.answer > most:
            raise BadSubject(
                f"a prompt of {planned.prompt} and an answer of {planned.answer} tokens; {subject.model} has a context "
                f"of {most}"
            )
