"""The answer of a sequence on its way to the caller: engine events become text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from attendant.core.errors import AttendantError, DeadlineExceeded
from attendant.core.events import FailedEvent, FinishedEvent, TokenEvent, TokenLogprob
from attendant.core.generation import Delta, Finish, unspelled, unspelled_bytes
from attendant.core.request import FinishReason, Request
from attendant.core.tally import Tally
from attendant.frontend.answers.told import NOTHING, Piece, joined, without
from attendant.frontend.generation.apart import Apart
from attendant.frontend.generation.call_stream import CallStream
from attendant.frontend.generation.detokenizer import Detokenizer
from attendant.frontend.generation.stop_strings import StopStrings
from attendant.frontend.generation.way import SequenceWay


class SequenceStream:
    """One sequence of a call: takes engine events in, puts parts out.

    Args:
        index: of the sequence in its call.
        request: what the engine was asked for.
        stop: called when a stop string was found; the engine must be told to end the sequence.
        hidden: text of the special tokens that the detokenizer leaves out.
        whole: put out one part with all text and tokens at the end.
        way: where it is noted how the sequence fares; None: nowhere.
        spell: decodes one token alone. spell_bytes: the bytes that one adds to the text.
        apart: how the answer is told apart; None: it is text.
        tally: of the request that it belongs to; None: nobody counts. inner: it is not what that asks for, but a part.

    Attributes:
        ended_here: what came ends the sequence, by a stop string, or as it is the only call that there may be; the
            engine has to be told.
    """

    def __init__(  # noqa: PLR0913 - what one sequence has, each by name
        self,
        call: CallStream,
        index: int,
        request: Request,
        detokenizer: Detokenizer,
        stops: StopStrings,
        stop: Callable[[], None],
        *,
        hidden: Mapping[int, str] = MappingProxyType({}),
        whole: bool = False,
        way: SequenceWay | None = None,
        spell: Callable[[int], str] = unspelled,
        spell_bytes: Callable[[int], bytes] = unspelled_bytes,
        apart: Apart | None = None,
        tally: Tally | None = None,
        inner: bool = False,
    ) -> None:
        self.index = index
        self._tally, self._inner = tally, inner
        self._held: list[Delta] | None = [] if whole else None
        self.request = request
        self.way = way
        self._prompt_tokens = len(request.prompt) + (request.source.length if request.source is not None else 0)
        self._call = call
        self._detokenizer = detokenizer
        self._stops = stops
        self._stop = stop
        self._spell, self._spell_bytes = spell, spell_bytes
        self._hidden = hidden
        self._parser = apart.parser() if apart is not None else None
        self._marks = apart.marks if apart is not None else {}
        self._ends_with_call = apart is not None and apart.single
        self._thinks = apart is not None and apart.thinking
        self._num_thought = 0
        self._stop_string: str | None = None
        self.ended_here = False
        self._num_tokens = 0
        self._last_token_ns = 0
        self._ending: AttendantError | None = None

    def pass_over(self, token: int) -> None:
        """Take a token in that the caller has already, with the text that came of it."""
        if self.ended_here:
            return
        self._num_tokens += 1
        text, self._stop_string = self._stops.push(*self._text_of(token))
        if self._parser is not None:
            self._count_thought(self._parser.push(text), 1)
        self.ended_here = self._stop_string is not None or self._has_its_call()

    @property
    def has_begun(self) -> bool:
        """Whether it has a token."""
        return self._last_token_ns != 0

    @property
    def can_wait(self) -> bool:
        """Whether tokens may come late: nothing is put out, or stopped, before the end."""
        return self._held is not None and not self._stops and not self._ends_with_call

    def on_token(self, event: TokenEvent, at_ns: int) -> tuple[bool, float]:
        """Take a token in, which was there ``at_ns``, monotonic.

        Returns:
            Whether it is the first, and the seconds since the one before or the arrival.
        """
        before, self._last_token_ns = self._last_token_ns, at_ns
        if not self.ended_here:
            begin_ns = time.monotonic_ns() if self.way is not None else 0
            self._num_tokens += 1
            text, self._stop_string = self._stops.push(*self._text_of(event.token_id))
            self._put(text, (event.token_id,), () if event.logprob is None else (event.logprob,))
            if self.way is not None:
                self.way.token(begin_ns)
            if self._stop_string is not None or self._has_its_call():
                self.ended_here = True
                self._stop()
        return before == 0, (at_ns - (before or self.request.arrival_ns)) / 1e9

    def _text_of(self, token: int) -> tuple[str, str]:
        """The text that is certain with a token, and that of a special token which is not shown."""
        mark = self._marks.get(token)
        if mark is None or token not in self._hidden:
            return self._detokenizer.push(token), self._hidden.get(token, "")
        before = self._detokenizer.flush()  # nothing of what stands before the mark may come after it
        return before + self._detokenizer.push(token) + mark, ""

    def _has_its_call(self) -> bool:
        return self._ends_with_call and self._parser is not None and self._parser.num_tool_calls > 0

    def submitted(self) -> None:
        """It is handed to an engine now, and will have its end."""
        if self.way is not None:
            self.way.submitted()
        if self._tally is not None:
            self._tally.begins_sequence()

    def end_with(self, error: AttendantError) -> None:
        """Whatever the engine says, the sequence ends with this error."""
        self._ending = error

    def on_end(self, event: FinishedEvent | FailedEvent) -> FinishedEvent | FailedEvent:
        """Take the terminal event in. Returns it as the caller sees it."""
        event = self._as_seen(event)
        if self.way is not None:
            self.way.ended(event, self.request)
        if self._tally is not None:
            reason = event.reason.value if isinstance(event, FinishedEvent) and not self._inner else ""
            self._tally.ends_sequence(self.index, self.request.arrival_ns, event.usage, event.timings, reason)
        if isinstance(event, FailedEvent):
            self._call.fail(event.error)
            return event
        if not self.ended_here:
            self._flush()
        self._put_rest(cut=event.reason is not FinishReason.STOP or self._stop_string is not None)
        finish = Finish(self.index, event.reason, event.usage, event.timings, self._stop_string, event.stop_token_id)
        if self._parser is not None:
            finish = replace(
                finish,
                num_tool_calls=self._parser.num_tool_calls,
                unparsed=self._parser.unparsed,
                num_reasoning_tokens=self._num_thought,
            )
        self._call.put(finish)
        return event

    def _put_rest(self, *, cut: bool) -> None:
        """Put out what was held back. ``cut``: the model did not end the answer itself."""
        if self._parser is not None:
            self._put_piece(self._parser.finish(cut=cut), (), ())
        if self._held:
            whole = _joined(self._held)
            if self._parser is not None:
                whole = replace(whole, tool_calls=without(whole.tool_calls, self._parser.broken))
            self._call.put(whole)

    def _as_seen(self, event: FinishedEvent | FailedEvent) -> FinishedEvent | FailedEvent:
        if self.ended_here:
            usage = replace(event.usage, completion_tokens=self._num_tokens)
            event = FinishedEvent(event.request_id, FinishReason.STOP, usage, event.timings)
        elif self._ending is not None:
            event = FailedEvent(event.request_id, self._ending, event.usage, event.timings)
        elif isinstance(event, FinishedEvent) and event.reason is FinishReason.CANCELLED and self._is_late():
            # the transport gave up at the deadline a moment before the engine did
            event = FailedEvent(event.request_id, DeadlineExceeded("the deadline passed"), event.usage, event.timings)
        return event

    def _is_late(self) -> bool:
        deadline = self.request.deadline_ns
        return deadline is not None and time.monotonic_ns() >= deadline

    def _flush(self) -> None:
        """The last text may complete a stop string, or turn out not to be one."""
        text, self._stop_string = self._stops.push(self._detokenizer.flush())
        if self._stop_string is None:
            text += self._stops.flush()
        if text:
            self._put(text, (), ())

    def _put(self, text: str, token_ids: tuple[int, ...], logprobs: tuple[TokenLogprob, ...]) -> None:
        if self._parser is None:
            told = self._prompt_tokens, self._spell
            self._put_delta(Delta(self.index, text, token_ids, logprobs, *told, spell_bytes=self._spell_bytes))
        else:
            self._put_piece(self._parser.push(text), token_ids, logprobs)

    def _put_piece(self, piece: Piece, token_ids: tuple[int, ...], logprobs: tuple[TokenLogprob, ...]) -> None:
        self._count_thought(piece, len(token_ids))
        if token_ids or piece != NOTHING:
            told = self._prompt_tokens, self._spell, piece.reasoning, piece.tool_calls, self._spell_bytes
            self._put_delta(Delta(self.index, piece.text, token_ids, logprobs, *told))

    def _count_thought(self, piece: Piece, num_tokens: int) -> None:
        if piece != NOTHING:
            self._thinks = not (piece.text or piece.tool_calls)
        self._num_thought += num_tokens if self._thinks else 0

    def _put_delta(self, delta: Delta) -> None:
        if self._held is None:
            self._call.put(delta)
        else:
            self._held.append(delta)


def _joined(deltas: list[Delta]) -> Delta:
    """Consecutive deltas of one sequence as one."""
    return Delta(
        deltas[0].index,
        "".join([delta.text for delta in deltas]),
        tuple([token for delta in deltas for token in delta.token_ids]),
        tuple([entry for delta in deltas for entry in delta.logprobs]),
        deltas[0].prompt_tokens,
        deltas[0].spell,
        "".join([delta.reasoning for delta in deltas]),
        joined([piece for delta in deltas for piece in delta.tool_calls]),
        spell_bytes=deltas[0].spell_bytes,
    )
