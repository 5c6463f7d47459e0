"""The book of turns, without threads: who is next, what it costs others, and that nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence

from attendant.runtime.turns import LOADING_SHARE, QUIET_NS, Contender, Ticket, Turns
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000


class Machine:
    """Processors on which runs take as long as it is told; its clock moves when a run ends."""

    def __init__(self, processors: int = 2) -> None:
        self.turns = Turns(processors)
        self.now_ns = 1
        self.running: list[tuple[int, Ticket]] = []  # with when they end
        self.order: list[Contender] = []
        self._lengths: dict[Ticket, int] = {}

    def ask(self, contender: Contender, length_ns: int, threads: int = 2) -> Ticket:
        ticket = self.turns.ask(contender, threads)
        self._lengths[ticket] = length_ns
        self.begin()
        return ticket

    def begin(self) -> None:
        for ticket in self.turns.begin(self.now_ns):
            self.order.append(ticket.contender)
            self.running.append((self.now_ns + self._lengths[ticket], ticket))

    def end_one(self) -> Ticket:
        """The run that ends first does; others begin."""
        self.running.sort(key=lambda each: each[0])
        self.now_ns, ticket = self.running.pop(0)
        self.turns.end(ticket, self.now_ns)
        return ticket


def test_one_that_is_alone_begins_at_once() -> None:
    machine, contender = Machine(), Contender()
    for _ in range(3):
        assert machine.ask(contender, 10 * MS).since_ns == machine.now_ns
        machine.end_one()


def test_a_run_begins_when_the_one_before_has_ended() -> None:
    machine = Machine()
    machine.ask(Contender(), 10 * MS)
    second = machine.ask(Contender(), 10 * MS)
    assert second.since_ns is None
    machine.end_one()
    machine.begin()
    assert second.since_ns == machine.now_ns


def test_narrow_runs_share_the_processors() -> None:
    machine = Machine(4)
    tickets = [machine.ask(Contender(), 10 * MS, threads) for threads in (1, 2, 1, 1)]
    assert [ticket.since_ns is not None for ticket in tickets] == [True, True, True, False]


def test_a_run_of_more_threads_than_there_are_processors_gets_all_of_them() -> None:
    machine = Machine(2)
    assert machine.ask(Contender(), MS, threads=64).since_ns is not None
    assert machine.ask(Contender(), MS, threads=1).since_ns is None


def test_a_wide_run_that_is_next_is_waited_for() -> None:
    machine = Machine(2)
    machine.ask(Contender(), 10 * MS, 1)
    wide = machine.ask(Contender(), 10 * MS, 2)
    narrow = machine.ask(Contender(), 10 * MS, 1)
    assert wide.since_ns is None
    assert narrow.since_ns is None
    machine.end_one()
    machine.begin()
    assert wide.since_ns is not None


def test_one_who_gives_up_is_not_waited_for() -> None:
    machine = Machine()
    machine.ask(Contender(), 10 * MS)
    gone, other = machine.ask(Contender(), 10 * MS), machine.ask(Contender(), 10 * MS)
    machine.turns.leave(gone)
    machine.end_one()
    machine.begin()
    assert other.since_ns is not None


@given(
    lengths=st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=6), min_size=2, max_size=5),
    processors=st.integers(1, 4),
)
def test_models_that_always_wait_get_the_same_but_for_their_longest_runs(
    lengths: Sequence[Sequence[int]], processors: int
) -> None:
    """The bound of start-time fair queueing, for runs that take all processors."""
    machine = Machine(processors)
    contenders = [Contender() for _ in lengths]
    got: dict[Contender, int] = dict.fromkeys(contenders, 0)
    asked: dict[Contender, int] = dict.fromkeys(contenders, 0)

    def ask(contender: Contender) -> None:
        own = lengths[contenders.index(contender)]
        machine.ask(contender, own[asked[contender] % len(own)], processors)
        asked[contender] += 1

    for contender in contenders:
        ask(contender)
    for _ in range(300):
        ticket = machine.end_one()
        assert ticket.since_ns is not None
        got[ticket.contender] += machine.now_ns - ticket.since_ns
        ask(ticket.contender)
        for one, its in zip(contenders, lengths, strict=True):
            for other, others in zip(contenders, lengths, strict=True):
                assert abs(got[one] - got[other]) <= max(its) + max(others)


@given(light=st.integers(1, 5), heavy=st.integers(50, 500), others=st.integers(1, 4))
def test_a_light_model_waits_for_one_run_of_each_other_at_most(light: int, heavy: int, others: int) -> None:
    """Whoever comes after a while stands before those who have had more."""
    machine = Machine()
    contenders = [Contender() for _ in range(others)]
    for contender in contenders:
        machine.ask(contender, heavy)
    for _ in range(50):
        machine.ask(machine.end_one().contender, heavy)
    small = Contender()
    waits = machine.ask(small, light)
    ended = 0
    while waits.since_ns is None:
        machine.ask(machine.end_one().contender, heavy)
        ended += 1
    assert ended <= others + 1


def test_one_that_did_nothing_has_saved_nothing_up() -> None:
    machine, one, other = Machine(), Contender(), Contender()
    machine.ask(one, 10 * MS)
    for _ in range(20):
        machine.ask(machine.end_one().contender, 10 * MS)
    machine.ask(other, 10 * MS)
    machine.order.clear()
    for _ in range(10):
        machine.ask(machine.end_one().contender, 10 * MS)
    assert sum(contender is other for contender in machine.order) <= 6


def test_loading_begins_at_once_where_nobody_serves() -> None:
    machine, loading = Machine(), Contender(loading=True)
    for _ in range(5):
        assert machine.ask(loading, 30 * MS).since_ns is not None
        machine.end_one()


def test_loading_waits_for_a_quiet_moment_once_it_has_kept_others_waiting() -> None:
    machine, serving, loading = Machine(), Contender(), Contender(loading=True)
    machine.ask(loading, 30 * MS)
    machine.ask(serving, 10 * MS)  # comes while it runs
    machine.end_one()
    machine.begin()
    machine.end_one()
    assert machine.ask(loading, 30 * MS).since_ns is None, "between two runs of the other"
    assert machine.turns.earliest_in_ns(machine.now_ns) == QUIET_NS
    machine.now_ns += QUIET_NS
    machine.begin()
    assert machine.order[-1] is loading


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 20))
def test_loading_ends_beside_others_and_takes_no_more_than_its_share(costs: Sequence[int], step: int) -> None:
    machine, serving, loading = Machine(), Contender(), Contender(loading=True)
    machine.ask(serving, step)
    taken = others = 0
    allowed = 0.0
    for number, cost in enumerate(costs, 1):
        ticket = machine.ask(loading, cost)
        while ticket.since_ns is None:
            ended = machine.end_one()
            others += step * ended.threads
            machine.ask(ended.contender, step)
            assert others <= taken / LOADING_SHARE + number * 4 * step, "it is next as soon as it owes nothing"
        while True:
            ended = machine.end_one()
            if ended is ticket:
                break
            others += step * ended.threads
            machine.ask(ended.contender, step)
        assert allowed <= others, "others had what they were owed before it began"
        taken += cost * 2
        allowed = taken / LOADING_SHARE
        machine.begin()


def test_only_one_run_of_models_that_are_loaded_goes_on() -> None:
    machine = Machine(8)
    machine.ask(Contender(loading=True), 10 * MS)
    assert machine.ask(Contender(loading=True), 10 * MS).since_ns is None
    assert machine.ask(Contender(), 10 * MS).since_ns is not None
