"""Objects on their way between two ends of a link."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from attendant.core.errors import InvalidRequest, QueueFull
from attendant.processes.link import Link, packed
from hypothesis import given, settings
from hypothesis import strategies as st

Array = npt.NDArray[Any]
ARRAYS = st.lists(
    st.tuples(st.integers(0, 20_000), st.sampled_from(["f4", "i8", "u1"])).map(
        lambda found: np.arange(found[0]).astype(found[1])
    ),
    max_size=6,
)


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    one, other = map(Link, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def sent(message: Any) -> Any:
    one, other = map(Link, socket.socketpair())
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(one.send, message)
        found = other.receive()
        sending.result(60)
    one.close()
    other.close()
    return found


@given(arrays=ARRAYS, text=st.text(max_size=200))
@settings(max_examples=40, deadline=None)
def test_what_is_sent_arrives_small_and_large(arrays: list[Array], text: str) -> None:
    found_arrays, found_text = sent((arrays, text))
    assert found_text == text
    for wanted, found in zip(arrays, found_arrays, strict=True):
        assert (found.dtype, found.tolist()) == (wanted.dtype, wanted.tolist())


def test_large_arrays_leave_from_their_own_memory_and_can_be_written_there() -> None:
    sound = np.zeros((80, 3000), np.float32)
    parts = packed(("features", sound))
    assert [part.nbytes for part in parts[2:]] == [sound.nbytes]
    sound[0, 0] = 7
    assert parts[2].cast("f")[0] == 7
    assert sum(part.nbytes for part in parts) < sound.nbytes + 1000
    _, found = sent(("features", sound))
    found += 1
    assert found[0, :2].tolist() == [8, 1]


def test_arrays_that_are_not_in_one_piece_arrive_too() -> None:
    every_other = np.arange(100_000, dtype=np.int64)[::2]
    assert (sent(every_other) == every_other).all()


def test_thousands_of_arrays_are_one_message() -> None:
    rows = [np.full(5000, number, np.float32) for number in range(1200)]
    assert [int(row[-1]) for row in sent(rows)] == list(range(1200))


def test_errors_arrive_as_what_they_are() -> None:
    full = sent(QueueFull("m", 3, 1.5))
    assert (type(full), full.retry_after_s, full.limit) == (QueueFull, 1.5, 3)
    assert sent(InvalidRequest("top_p", "is 2")).field == "top_p"


def test_messages_of_several_threads_do_not_mix(ends: tuple[Link, Link]) -> None:
    one, other = ends

    def send(sender: int) -> None:
        for number in range(50):
            one.send((sender, number, np.full(10_000, number, np.int32)))

    found: dict[int, list[int]] = {}
    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, sender) for sender in range(4)]
        for _ in range(200):
            sender, number, values = other.receive()
            assert (values == number).all()
            found.setdefault(sender, []).append(number)
        for sending in senders:
            sending.result(60)
    assert found == {sender: list(range(50)) for sender in range(4)}


def test_whoever_waits_hears_that_the_other_end_is_gone(ends: tuple[Link, Link]) -> None:
    one, other = ends
    one.send("the last")
    one.close()
    assert other.receive() == "the last"
    with pytest.raises(EOFError):
        other.receive()


def test_half_a_message_is_none() -> None:
    here, there = socket.socketpair()
    link = Link(there)
    here.sendall(b"".join(packed("a message"))[:-1])
    here.close()
    with pytest.raises(EOFError):
        link.receive()
    link.close()


def test_closing_ends_the_wait_of_another_thread(ends: tuple[Link, Link]) -> None:
    one, other = ends
    with ThreadPoolExecutor(1) as pool:
        waits = threading.Event()

        def receive() -> None:
            waits.set()
            one.receive()

        receiving = pool.submit(receive)
        waits.wait(60)
        other.close()
        with pytest.raises(EOFError):
            receiving.result(60)


def test_what_cannot_be_pickled_is_refused_where_it_is_sent(ends: tuple[Link, Link]) -> None:
    one, other = ends
    with pytest.raises(Exception, match="pickle"):
        one.send(lambda: None)
    one.send("goes on")
    assert other.receive() == "goes on"
