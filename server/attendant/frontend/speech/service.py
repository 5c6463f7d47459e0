"""Speech recognition as a service: recordings and streams of sound to text. What rpc and other skins talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

from attendant.core.context import CallContext
from attendant.core.errors import AttendantError
from attendant.core.receipt import Maker
from attendant.core.stages import Stage
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.limits import CallLimits
from attendant.frontend.speech.calls import RawSound, SoundData, SpeechCall, SpeechPart, SpeechResult
from attendant.frontend.speech.feed import Feed, FileFeed, StreamFeed
from attendant.frontend.speech.model import Generator, SpeechModel
from attendant.frontend.speech.receipts import SpeechReceipt, seeded
from attendant.frontend.speech.served import ServedListener
from attendant.frontend.speech.transcription import Transcription
from attendant.metrics import SUCCESS, Metrics, error_name
from attendant.models.lookup import SPEECH
from attendant.models.table import Finder
from attendant.settings import SpeechSettings
from attendant.tasks.job_threads import JobThreads


class Hears(Protocol):
    """What takes the calls of a model."""

    @property
    def name(self) -> str:
        """What callers call it."""

    @property
    def maker(self) -> Maker:
        """What makes its answers."""

    @property
    def speech(self) -> ServedListener | None:
        """Where recordings go; None if it takes none."""

    @property
    def generation(self) -> ModelHub | None:
        """Where its windows go."""


class SpeechService:
    """Speech recognition by all models of a server, which calls find in the table.

    Args:
        generators: give what runs windows on a model, one at a time of each recording, among everybody else's
            sequences.
        media: decode recordings and make features of them.
    """

    def __init__(
        self,
        models: Finder[Hears],
        generators: Callable[[Hears], Generator],
        metrics: Metrics,
        settings: SpeechSettings,
        media: JobThreads,
        limits: CallLimits | None = None,
    ) -> None:
        self._generators = generators
        self._metrics = metrics.speech
        self._max_duration_s = settings.max_duration_s
        self._models = models
        self._media = media
        self._limits = limits or CallLimits()

    async def transcribe(
        self, call: SpeechCall, sound: SoundData | RawSound, context: CallContext | None = None
    ) -> SpeechResult:
        """All of one recording. ``context``: of the call; None for one that comes now from nobody in particular.

        Raises:
            AttendantError: refused at the door, or failed later.
        """
        return await last_part(self.stream(call, once(sound) if isinstance(sound, RawSound) else sound, context))

    def stream(
        self, call: SpeechCall, sound: SoundData | AsyncIterator[RawSound], context: CallContext | None = None
    ) -> AsyncGenerator[SpeechPart, None]:
        """A recording, be it while it is made: segments, partial text of what is recorded now, and one result at the
        end.

        Pieces are read as long as there is room for what waits. Closing the iterator, or cancelling the task that
        iterates, ends the work before the model's next step.

        Raises:
            AttendantError: refused at the door, or failed later; nothing follows. What the pieces raise, too.
        """

        def feed_of(model: SpeechModel) -> Feed:
            rate, most_s, media = model.source.sampling_rate, self._max_duration_s, self._media
            if isinstance(sound, SoundData):
                self._limits.check_sound("file", sound.file)
                return FileFeed(sound.file, rate, most_s, media)
            return StreamFeed(self._heard(sound), rate, most_s, media)

        return self._parts(call, feed_of, context)

    async def _heard(self, sound: AsyncIterator[RawSound]) -> AsyncGenerator[RawSound, None]:
        async for piece in sound:
            self._limits.check_sound("pcm16", piece.pcm16)
            yield piece

    async def _parts(
        self, call: SpeechCall, feed_of: Callable[[SpeechModel], Feed], given: CallContext | None
    ) -> AsyncGenerator[SpeechPart, None]:
        context, name, outcome = given or CallContext.new(), "", "error"
        tally = context.tally
        if tally is not None:
            tally.asks(call.model, context.priority)
        try:
            served = self._models.find(call.model, SPEECH)
            listener = served.speech
            assert listener is not None, "the lookup has looked"
            model = listener.model
            name = model.name
            if tally is not None:
                tally.runs_on(name, served.maker.version)
            self._limits.check_text("prompt", call.prompt)
            model.check(call)
            call = seeded(call) if call.receipt else call
            receipt = SpeechReceipt(served.maker, model.manifest, call) if call.receipt else None
            with context.stage.begin(
                "transcribe", operation="transcribe", requested_model=call.model, model=name
            ) as stage:
                transcription = Transcription(
                    listener, self._generators(served), call, self._metrics, context.within(stage), self._media, receipt
                )
                async with (
                    listener.gate.call(),
                    feed_of(model) as feed,
                    aclosing(transcription.parts(feed)) as parts,
                ):
                    async for part in parts:
                        if isinstance(part, SpeechResult):
                            _note_result(stage, part)
                            if tally is not None:
                                tally.hears(0, part.text)
                        yield part
            outcome = SUCCESS
        except AttendantError as error:
            outcome = error_name(type(error))
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            self._metrics.call(name, outcome)


def _note_result(stage: Stage, result: SpeechResult) -> None:
    usage = result.usage
    stage.note(
        audio_s=result.duration_s,
        language=result.language,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
    )


async def once(sound: RawSound) -> AsyncGenerator[RawSound, None]:
    """Sound that comes in one piece."""
    yield sound


async def last_part(parts: AsyncGenerator[SpeechPart, None]) -> SpeechResult:
    """The result that parts end with. They are read to their end, so that the call is not taken for one that was given
    up."""
    last: SpeechPart | None = None
    async with aclosing(parts):
        async for part in parts:
            last = part
    assert isinstance(last, SpeechResult), "a result is the last part"
    return last
