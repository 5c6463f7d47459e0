"""What waits for a reader: in order for each sequence, and no more the longer the reader is away."""

from __future__ import annotations

import asyncio

import pytest
from attendant.core.errors import StepFailed
from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.core.request import FinishReason, Timings, Usage
from attendant.frontend.generation.call_stream import CallStream


def finish(index: int) -> Finish:
    return Finish(index, FinishReason.STOP, Usage(1, 0, 1), Timings())


async def all_of(stream: CallStream, count: int) -> list[GenerationPart]:
    return [await stream.get() for _ in range(count)]


@pytest.mark.parametrize("num_sequences", [1, 3])
def test_what_waits_does_not_grow_with_the_steps(num_sequences: int) -> None:
    async def main() -> None:
        stream = CallStream()
        for step in range(1000):
            for index in range(num_sequences):
                stream.put(Delta(index, f"{step},", (step,)))
        for index in range(num_sequences):
            stream.put(finish(index))
        parts = await all_of(stream, 2 * num_sequences)  # and nothing else waits
        for index in range(num_sequences):
            delta, end = [part for part in parts if part.index == index]
            assert isinstance(delta, Delta)
            assert delta.text == "".join(f"{step}," for step in range(1000))
            assert delta.token_ids == tuple(range(1000))
            assert end == finish(index)
        assert not stream.waiting

    asyncio.run(main())


def test_a_reader_who_keeps_up_gets_each_part_as_it_came() -> None:
    async def main() -> None:
        stream = CallStream()
        for index in (1, 0, 1):
            stream.put(Delta(index, "a", (1,)))
            assert await stream.get() == Delta(index, "a", (1,))

    asyncio.run(main())


def test_the_sequence_that_waited_longest_is_first() -> None:
    async def main() -> None:
        stream = CallStream()
        for index in (2, 0, 2, 1, 0):
            stream.put(Delta(index, "a", (1,)))
        assert [part.index for part in await all_of(stream, 3)] == [2, 0, 1]

    asyncio.run(main())


def test_an_error_comes_after_what_was_there() -> None:
    async def main() -> None:
        stream = CallStream()
        stream.put(Delta(0, "a", (1,)))
        stream.fail(StepFailed("the model run failed"))
        assert (await stream.get()).index == 0
        with pytest.raises(StepFailed):
            await stream.get()

    asyncio.run(main())
