"""Parts of a call's answer, which wait until they are fetched."""

from __future__ import annotations

import asyncio

from attendant.core.errors import AttendantError
from attendant.core.generation import Delta, GenerationPart
from attendant.frontend.answers.told import joined


class CallStream:
    """Parts of one call for one reader, those of each sequence in order. A slow one finds the tokens of several steps
    in one part: of a sequence wait at most a delta, what was held back of its text, and the end, however many sequences
    there are. What was held back comes by itself, so that a reader knows which text came of which tokens."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[GenerationPart]] = {}  # by sequence; who has waited longest is first
        self._error: AttendantError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> tuple[GenerationPart, ...]:
        """What has not been fetched."""
        return tuple([part for parts in self._waiting.values() for part in parts])

    def put(self, part: GenerationPart) -> None:
        """Append a part, merging it into the one of its sequence that waits if both are text."""
        waiting = self._waiting.setdefault(part.index, [])
        last = waiting[-1] if waiting else None
        if isinstance(part, Delta) and isinstance(last, Delta) and (part.token_ids or not last.token_ids):
            waiting[-1] = Delta(
                part.index,
                last.text + part.text,
                last.token_ids + part.token_ids,
                last.logprobs + part.logprobs,
                part.prompt_tokens,
                part.spell,
                last.reasoning + part.reasoning,
                joined((*last.tool_calls, *part.tool_calls)) if part.tool_calls else last.tool_calls,
                part.spell_bytes,
            )
        else:
            waiting.append(part)
        self._wake()

    def fail(self, error: AttendantError) -> None:
        """End the call with an error once what is there has been fetched."""
        self._error = self._error or error
        self._wake()

    async def get(self) -> GenerationPart:
        """The next part.

        Raises:
            AttendantError: the call has failed.
        """
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        index, waiting = next(iter(self._waiting.items()))
        part = waiting.pop(0)
        if not waiting:
            del self._waiting[index]
        return part

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
