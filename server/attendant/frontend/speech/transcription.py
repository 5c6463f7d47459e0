"""One recording's way through a model: window after window, from where the last whole segment ended."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, QueueFull
from attendant.core.generation import Finish
from attendant.core.request import Timings, Usage
from attendant.frontend.speech.calls import Partial, Segment, SpeechCall, SpeechPart, SpeechResult
from attendant.frontend.speech.feed import Feed
from attendant.frontend.speech.model import Generator, Heard, Window
from attendant.frontend.speech.receipts import SpeechReceipt
from attendant.frontend.speech.served import ServedListener
from attendant.frontend.timely import Promise
from attendant.metrics import SpeechMetrics
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.mel import Floats
from attendant.tasks.segments import Piece, cut, whole

PARTIAL_S = 1.0
"""New sound in an incomplete window after which its text is told anew."""


class Transcription:
    """Belongs to one task of the event loop.

    Args:
        listener: the model, which has let the call in.
        context: of the call.
        media: make features of sound.
        receipt: takes down what is heard, if the call gets one.
    """

    def __init__(
        self,
        listener: ServedListener,
        generator: Generator,
        call: SpeechCall,
        metrics: SpeechMetrics,
        context: CallContext,
        media: JobThreads,
        receipt: SpeechReceipt | None = None,
    ) -> None:
        self._media = media
        self._receipt = receipt
        self._listener = listener
        self._model = model = listener.model
        self._generator = generator
        self._call = call
        self._metrics = metrics
        self._context = context
        self._tally = _Tally(context.arrival_ns)
        self._rate = model.source.sampling_rate
        self._sound: Floats = np.empty(0, np.float32)  # from where the window begins
        self._start = 0  # of the window, in samples
        self._language = model.speech.languages.get(call.language)
        self._language_probability = 1.0
        self._before: deque[int] = deque(model.prompt_tokens(call.prompt), maxlen=model.max_before)
        self._segments: list[Segment] = []
        self._texts: list[str] = []

    async def parts(self, feed: Feed) -> AsyncGenerator[SpeechPart, None]:
        """Segments as they are final, partial text where the feed has nothing more yet, and one result at the end.

        Raises:
            AttendantError: refused at the first window, or failed later; nothing follows.
        """
        listener = self._listener  # a window more there is in any case: who has no time for it costs nothing more
        listener.forecast.check(1, listener.gate.taken, self._context, first=True)
        with Promise(listener.forecast.margin) as promise:
            while True:
                with self._context.stage.begin("fill window"):
                    async with aclosing(self._filled(feed)) as texts:
                        async for text in texts:
                            yield text
                if not len(self._sound):
                    break
                self._check_forecast(feed, promise)
                for segment in await self._window():
                    yield segment
            yield replace(self._result(), warnings=feed.warnings)

    async def _filled(self, feed: Feed) -> AsyncGenerator[Partial, None]:
        """Until the window is full or the recording has ended: what was heard in it so far."""
        told, heard = "", 0
        while len(self._sound) < self._model.log_mel.num_samples:
            if not feed.ready and len(self._sound) - heard >= PARTIAL_S * self._rate:
                heard = len(self._sound)
                text = await self._partial(told)
                if text != told:
                    told = text
                    yield Partial(text)
                continue
            more = await feed.more()
            if more is None:
                break
            self._sound = np.concatenate([self._sound, more])
            if self._receipt is not None:
                self._receipt.heard(more)
            self._metrics.sound(self._model.name, len(more) / self._rate)
            if self._context.tally is not None:
                self._context.tally.hears_sound(len(more) / self._rate)

    async def _partial(self, otherwise: str) -> str:
        """The text of an incomplete window; ``otherwise`` if the model is too busy for what is not final."""
        try:
            heard = await self._hear(self._sound, partial=True)
        except QueueFull:
            if not self._tally.num_runs:
                raise
            return otherwise
        self._metrics.window(self._model.name, "partial")
        if heard.silent:
            return ""
        (piece,) = whole(heard.tokens, self._model.speech.first_timestamp, 1).pieces
        return self._text(piece).strip()

    async def _window(self) -> list[Segment]:
        """Transcribe the window and move on. Returns its segments."""
        sound = self._sound[: self._model.log_mel.num_samples]
        heard = await self._patiently(sound)
        found, advance = self._cut(heard, len(sound))
        segments: list[Segment] = []
        for piece in found:
            text = self._text(piece)
            self._before.extend(piece.spoken)
            if text.strip():
                gap = _gap(self._texts[-1], text) if self._texts else ""
                self._texts.append(text)
                segments.append(replace(self._segment(piece, text.strip(), heard, len(sound)), gap=gap))
        self._metrics.window(self._model.name, "speech" if segments else "silence")
        if segments and self._language is None and heard.language is not None:
            self._language, self._language_probability = heard.language, heard.language_probability
        self._segments += segments
        self._sound = self._sound[advance:]
        self._start += advance
        return segments

    def _text(self, piece: Piece) -> str:
        return self._model.text(piece.tokens, keep_special_tokens=self._call.how.keep_special_tokens)

    def _cut(self, heard: Heard, num_samples: int) -> tuple[tuple[Piece, ...], int]:
        """The segments of a window, and how many samples on the next one begins: at least one."""
        if heard.silent:
            return (), num_samples
        length = max(1, math.ceil(num_samples / self._model.samples_per_timestamp))
        cut_up = cut if self._call.timestamps else whole
        found = cut_up(heard.tokens, self._model.speech.first_timestamp, length)
        if found.advance >= length:
            return found.pieces, num_samples
        return found.pieces, max(1, round(found.advance * self._model.samples_per_timestamp))

    def _segment(self, piece: Piece, text: str, heard: Heard, num_samples: int) -> Segment:
        def seconds(timestamp: int) -> float:
            inside = min(timestamp * self._model.samples_per_timestamp, num_samples)
            return (self._start + inside) / self._rate

        return Segment(
            start_s=seconds(piece.start),
            end_s=seconds(piece.end),
            text=text,
            token_ids=piece.tokens,
            mean_logprob=heard.mean_logprob,
            no_speech_probability=heard.no_speech_probability,
        )

    async def _patiently(self, sound: Floats) -> Heard:
        """The answer to a window. A call that has begun waits where a new one would be refused."""
        while True:
            try:
                return await self._hear(sound, partial=False)
            except QueueFull as full:
                if not self._tally.num_runs:
                    raise
                await asyncio.sleep(full.retry_after_s)

    async def _hear(self, sound: Floats, *, partial: bool) -> Heard:
        with self._context.stage.begin(
            "window", start_s=self._start / self._rate, audio_s=len(sound) / self._rate, partial=partial
        ) as stage:
            came_ns, num_inside = time.monotonic_ns(), self._listener.gate.taken
            with stage.begin("features"):  # others' may be before them
                features = await self._media.run(lambda: self._model.log_mel(sound))
            begin_ns = time.monotonic_ns()
            self._check_time()
            window = Window(
                features=features,
                language=self._language,
                before=tuple(self._before) if self._call.condition_on_previous_text or not self._start else (),
                partial=partial,
                first=not self._tally.num_runs,
            )
            context = self._context.within(stage)
            if self._tally.num_runs:  # the target was the first window's
                context = replace(context, first_token_by_ns=None)
            heard = await self._model.hear(self._generator, self._call, window, context)
        if not partial:
            self._listener.forecast.took(num_inside, time.monotonic_ns() - came_ns)
        self._tally.add(heard.finish, begin_ns)
        return heard

    def _check_forecast(self, feed: Feed, promise: Promise) -> None:
        """Whether what is left of the recording, as far as that is known, can be transcribed in its time."""
        left = len(self._sound)
        if feed.num_samples is not None:
            left = max(left, feed.num_samples - self._start)
        num_windows = math.ceil(left / self._model.log_mel.num_samples)
        listener, first = self._listener, not self._tally.num_runs
        due_ns = listener.forecast.check(num_windows, listener.gate.taken, self._context, first=first)
        if first and feed.num_samples is not None:
            promise.make(due_ns, self._context.deadline_ns)

    def _check_time(self) -> None:
        left_s = self._context.time_left_s()
        if left_s is not None and left_s <= 0:
            raise DeadlineExceeded(f"the deadline passed {self._start / self._rate:.1f} s into the recording")

    def _result(self) -> SpeechResult:
        return SpeechResult(
            text="".join(self._texts).strip(),
            segments=tuple(self._segments),
            language=self._model.code(self._language),
            language_probability=self._language_probability,
            duration_s=self._start / self._rate,
            usage=self._tally.usage,
            timings=self._tally.timings(),
            receipt=self._receipt.draft() if self._receipt is not None else None,
        )


def _gap(before: str, text: str) -> str:
    """What stands between two texts, once they are stripped."""
    return before[len(before.rstrip()) :] + text[: len(text) - len(text.lstrip())]


class _Tally:
    """Usage and timings of a call's runs, added up."""

    def __init__(self, arrival_ns: int) -> None:
        self._arrival_ns = arrival_ns
        self._timings = Timings()
        self.usage = Usage(0, 0, 0)
        self.num_runs = 0

    def add(self, finish: Finish, begin_ns: int) -> None:
        """A run that began at ``begin_ns``, monotonic."""
        one, sum_ = finish.usage, self.usage
        self.usage = Usage(
            sum_.prompt_tokens + one.prompt_tokens,
            sum_.cached_tokens + one.cached_tokens,
            sum_.completion_tokens + one.completion_tokens,
        )
        own, total = finish.timings, self._timings
        first_token_ns = total.first_token_ns if self.num_runs else begin_ns - self._arrival_ns + own.first_token_ns
        self._timings = Timings(
            queue_ns=total.queue_ns + own.queue_ns,
            prefill_ns=total.prefill_ns + own.prefill_ns,
            decode_ns=total.decode_ns + own.decode_ns,
            first_token_ns=first_token_ns,
        )
        self.num_runs += 1

    def timings(self) -> Timings:
        """The timings of the call that ends now."""
        return replace(self._timings, total_ns=time.monotonic_ns() - self._arrival_ns)
