"""Which replica a call goes to: the policies that stand before servers."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from attendant_loadtest.schedule.planned import Planned, random_of

S = 1_000_000_000


class Server(Protocol):
    """What a balancer knows of a replica."""

    @property
    def active(self) -> int:
        """Calls that have not ended."""

    @property
    def busy(self) -> float:
        """What it reports as ``application_utilization``."""


class Balancer(Protocol):
    """Chooses."""

    def choose(self, call: Planned, now_ns: int) -> int:
        """The index of the replica for a call that comes now."""


class RoundRobin:
    """One after the other."""

    def __init__(self, servers: Sequence[Server], seed: int = 0) -> None:
        self._number = len(servers)
        self._next = -1

    def choose(self, call: Planned, now_ns: int) -> int:
        """See Balancer."""
        self._next = (self._next + 1) % self._number
        return self._next


class LeastRequest:
    """Of two drawn by chance the one with fewer calls: Envoy's LEAST_REQUEST."""

    def __init__(self, servers: Sequence[Server], seed: int = 0) -> None:
        self._servers = servers
        self._rng = random_of(seed, "least request")

    def choose(self, call: Planned, now_ns: int) -> int:
        """See Balancer."""
        one, other = self._rng.integers(0, len(self._servers), 2).tolist()
        return int(min((one, other), key=lambda index: self._servers[index].active))


class Orca:
    """Shares by what servers report of themselves: Envoy's client_side_weighted_round_robin. A server's weight is the
    calls that it got in a second by how busy it was then; the middle one's, as long as nothing is known of it."""

    PERIOD_NS, LOOK_NS = S, S // 10

    def __init__(self, servers: Sequence[Server], seed: int = 0) -> None:
        self._servers = servers
        number = len(servers)
        self._weights = np.ones(number)
        self._current = np.zeros(number)
        self._calls, self._busy, self._looks = np.zeros(number), np.zeros(number), 0
        self._next_look_ns = self._next_weights_ns = 0

    def choose(self, call: Planned, now_ns: int) -> int:
        """See Balancer. The servers' turns are spread evenly, as by weighted fair queueing."""
        if now_ns >= self._next_look_ns:
            self._busy += [server.busy for server in self._servers]
            self._looks += 1
            self._next_look_ns = now_ns + self.LOOK_NS
            if now_ns >= self._next_weights_ns:
                self._weigh()
                self._next_weights_ns = now_ns + self.PERIOD_NS
        self._current += self._weights
        index = int(self._current.argmax())
        self._current[index] -= self._weights.sum()
        self._calls[index] += 1
        return index

    def _weigh(self) -> None:
        busy = self._busy / self._looks
        known = (busy > 0) & (self._calls > 0)
        if known.any():
            weights = np.where(known, self._calls / np.where(known, busy, 1.0), 0.0)
            weights = np.where(known, weights, np.median(weights[known]))
            self._weights = weights / weights.mean()
            self._current[:] = 0  # turns that were owed by other weights mean nothing now
        self._calls[:], self._busy[:], self._looks = 0, 0, 0


class Affinity:
    """Calls that begin alike go to the same server, by a ring of hashes whose servers have bounded loads: Envoy's
    RING_HASH with a balance factor. A call whose prompt begins like no other's goes where ``others`` say.

    Args:
        key: what says how a call's prompt begins, or None.
        balance_factor: a server may have so many times the mean of calls; the next by chance, always the same, takes
            the rest.
    """

    RING_SIZE = 1024

    def __init__(
        self,
        servers: Sequence[Server],
        others: Balancer,
        key: Callable[[Planned], str | None],
        balance_factor: float = 2.0,
    ) -> None:
        self._servers = servers
        self._others = others
        self._key = key
        self._factor = balance_factor
        each = math.ceil(self.RING_SIZE / len(servers))
        ring = sorted((_hash(f"{server}_{copy}"), server) for server in range(len(servers)) for copy in range(each))
        self._hashes, self._at = [found for found, _ in ring], [server for _, server in ring]

    def choose(self, call: Planned, now_ns: int) -> int:
        """See Balancer."""
        key = self._key(call)
        if key is None:
            return self._others.choose(call, now_ns)
        found = _hash(key)
        first = self._at[bisect_left(self._hashes, found) % len(self._at)]
        slots = self._slots()
        if self._servers[first].active <= slots:
            return first
        shuffled = random_of(found % 2**31).permutation(len(self._servers)).tolist()
        order = [first, *[index for index in shuffled if index != first]]
        fits = (index for index in order if self._servers[index].active <= slots)
        return int(next(fits, min(order, key=lambda index: self._servers[index].active)))

    def _slots(self) -> int:
        """Calls that a server may have before it counts as overloaded."""
        active = sum([server.active for server in self._servers])
        return max(math.ceil(math.ceil((active + 1) * self._factor) / len(self._servers)), 1)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def prefix_key(shared: frozenset[int]) -> Callable[[Planned], str | None]:
    """What a caller puts into ``x-attendant-prefix``: the first segment of its prompt, if that is one of ``shared``."""

    def key(call: Planned) -> str | None:
        first = call.segments[0].key
        return str(first) if first in shared else None

    return key


BALANCERS: dict[str, Callable[[Sequence[Server], int], Balancer]] = {
    "round-robin": RoundRobin,
    "least-request": LeastRequest,
    "orca": Orca,
}
"""By name; ``affinity`` is made of one of these."""
