"""Where a transcription's sound comes from: a file that is decoded as it is needed, or pieces as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol, Self

from attendant.core.errors import InvalidRequest
from attendant.frontend.speech.calls import RawSound
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.mel import Floats
from attendant.tasks.sound import Converter, SoundFile, check_pcm16, from_pcm16

BUFFERED_S = 60
"""Sound of a stream that may wait to be transcribed; from then on nothing is read, and its sender waits."""

_BLOCK_S = 10  # seconds that are converted at once
_SAMPLE_SIZE = 2  # bytes


class Feed(Protocol):
    """Sound of one channel at a model's rate, in order. A context manager: leaving it ends what it began."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    @property
    def ready(self) -> bool:
        """Whether :meth:`more` has something to give already, be it the end."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is amiss with the sound that was given so far, in words."""

    @property
    def num_samples(self) -> int | None:
        """All that there will be, at the model's rate, as far as that is known before it is read; else None."""

    async def more(self) -> Floats | None:
        """The next samples, [n] float32, perhaps none; None at the end.

        Raises:
            InvalidRequest: the sound cannot be used.
        """


class FileFeed:
    """A file that libsndfile reads. ``rate``: the model's, in Hz. ``media``: decode it."""

    ready = True

    def __init__(self, data: bytes, rate: int, max_duration_s: float, media: JobThreads, field: str = "file") -> None:
        self._media = media
        self._open = partial(SoundFile, data, rate, max_duration_s, field)
        self._file: SoundFile | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @property
    def num_samples(self) -> int | None:
        """See :class:`Feed`."""
        return self._file.num_samples if self._file is not None else None

    async def more(self) -> Floats | None:
        """See :class:`Feed`."""
        if self._file is None:
            self._file = await self._media.run(self._open)
        return await self._media.run(self._file.read)

    @property
    def warnings(self) -> tuple[str, ...]:
        """See :class:`Feed`."""
        early_end = self._file.early_end if self._file is not None else None
        return () if early_end is None else (early_end,)


class StreamFeed:
    """Pieces of raw sound, read by a task of its own, so that they arrive while others are transcribed.

    Attributes:
        warnings: none, ever. num_samples: nobody knows.

    Args:
        pieces: all of one sampling rate. What they raise, :meth:`more` raises.
        rate: the model's, in Hz.
        media: convert them.
    """

    warnings: tuple[str, ...] = ()
    num_samples: int | None = None

    def __init__(self, pieces: AsyncIterator[RawSound], rate: int, max_duration_s: float, media: JobThreads) -> None:
        self._media = media
        self._pieces = pieces
        self._target = rate
        self._max_duration_s = max_duration_s
        self._waiting: deque[memoryview] = deque()
        self._num_waiting = 0  # bytes
        self._rate: int | None = None
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._converter: Converter | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(lambda _: self._arrived.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """See :class:`Feed`."""
        return bool(self._waiting) or (self._reader is not None and self._reader.done())

    async def more(self) -> Floats | None:
        """See :class:`Feed`."""
        assert self._reader is not None, "use it as a context manager"
        while not self.ready:
            self._arrived.clear()
            await self._arrived.wait()
        if self._waiting:
            return await self._media.run(partial(self._convert, self._take()))
        self._reader.result()
        if self._ended:
            return None
        self._ended = True
        return await self._media.run(self._open().finish)

    async def _read(self) -> None:
        async for piece in self._pieces:
            self._put(piece)
            while self._num_waiting > BUFFERED_S * _SAMPLE_SIZE * piece.sampling_rate:
                self._room.clear()
                await self._room.wait()

    def _put(self, piece: RawSound) -> None:
        if self._rate is None:
            self._rate = piece.sampling_rate
        elif piece.sampling_rate != self._rate:
            raise InvalidRequest(
                "sampling_rate", f"is {piece.sampling_rate}; allowed: that of the first piece, {self._rate}"
            )
        check_pcm16(piece.pcm16, "pcm16")
        if piece.pcm16:
            self._waiting.append(memoryview(piece.pcm16))
            self._num_waiting += len(piece.pcm16)
            self._arrived.set()

    def _take(self) -> bytes:
        """What waits, but not more than a block; of a piece that is longer, the first part."""
        limit = _BLOCK_S * _SAMPLE_SIZE * max(1, self._rate or 0)
        taken = bytearray()
        while self._waiting and len(taken) < limit:
            piece, room = self._waiting.popleft(), limit - len(taken)
            taken += piece[:room]
            if len(piece) > room:
                self._waiting.appendleft(piece[room:])
        self._num_waiting -= len(taken)
        self._room.set()
        return bytes(taken)

    def _convert(self, data: bytes) -> Floats:
        return self._open().push(from_pcm16(data))

    def _open(self) -> Converter:
        if self._converter is None:
            if self._rate is None:
                raise InvalidRequest("raw", "has no sound; allowed: at least one sample")
            self._converter = Converter(self._rate, self._target, self._max_duration_s, "pcm16", "sampling_rate")
        return self._converter
