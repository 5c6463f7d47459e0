"""What a generation notes of its way: the call as a whole, and the stages of each of its sequences."""

from __future__ import annotations

import time
from collections.abc import Mapping

from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.events import FailedEvent, FinishedEvent
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart, TextPrompt
from attendant.core.request import PromptRun, Request
from attendant.core.sampling import SamplingParams
from attendant.core.stages import Exemplar, Stage, Value
from attendant.core.tally import Tally


def begin_call(context: CallContext, call: GenerationCall, *, inner: bool) -> Stage:
    """The stage of a call on a model. A part of another call (``inner``) is no call on a model of its own."""
    stage, tally = context.stage, context.tally
    if tally is not None and not inner:
        tally.asks(call.model, context.priority)
        tally.stream, tally.n = not call.whole, tally.n + call.n
        if tally.text_limit:
            tally.says(_said(call))
    if not stage.noted:
        return stage
    if inner:
        return stage.begin("generate", context.arrival_ns)
    operation = "chat" if isinstance(call.prompt, ChatPrompt) else "text_completion"
    begun = stage.begin(operation, operation=operation, requested_model=call.model, response_id=context.request_id)
    if call.n != 1:
        begun.note(choices=call.n)
    if not call.whole:
        begun.note(stream=True)
    if call.seed is not None:
        begun.note(seed=call.seed)
    if begun.trail is not None and begun.trail.text_limit:
        begun.note(**_words(call, begun.trail.text_limit))
        if call.stop:
            begun.note(stop=tuple(call.stop))
    return begun


def note_params(stage: Stage, model: str, params: SamplingParams) -> None:
    """Note which model it is, and what the answer is chosen by."""
    if not stage.noted:
        return
    stage.note(model=model, max_tokens=params.max_tokens, temperature=params.temperature, top_p=params.top_p)
    if params.top_k:
        stage.note(top_k=float(params.top_k))
    if params.frequency_penalty:
        stage.note(frequency_penalty=params.frequency_penalty)
    if params.presence_penalty:
        stage.note(presence_penalty=params.presence_penalty)


def _said(call: GenerationCall) -> list[tuple[str, str]]:
    """What the caller said: role and text, the role empty where there is none."""
    match call.prompt:
        case ChatPrompt(messages=messages):
            return [(message.role, message.text) for message in messages]
        case TextPrompt(text=text):
            return [("", text)]
    return []


def _words(call: GenerationCall, limit: int) -> Mapping[str, Value]:
    """What the caller said, cut to ``limit`` characters; role and text in turn."""
    said = [(role or "user", text) for role, text in _said(call)]
    if not said:
        return {}
    words: list[str] = []
    for role, content in said:
        if limit > 0:
            words += (role, content[:limit])
        limit -= len(content)
    return {"text_in": tuple(words)}


class Answer:
    """What is noted of a call's answer as a whole: counts, ends, and its text if that is asked for. ``tally``: of its
    request, which gets the text as far as it wants it; None: nobody does."""

    def __init__(self, stage: Stage, arrival_ns: int, tally: Tally | None = None) -> None:
        self._stage = stage
        self._arrival_ns = arrival_ns
        self._tally = tally if tally is not None and tally.text_limit else None
        self._ends: dict[int, Finish] = {}
        self._texts: dict[int, str] = {}
        self._begun = False
        self._limit = stage.trail.text_limit if stage.trail is not None else 0

    def take(self, part: GenerationPart) -> None:
        """A part leaves for the caller."""
        if self._tally is not None and isinstance(part, Delta):
            self._tally.hears(part.index, part.text)
        if not self._stage.noted:
            return
        if isinstance(part, Finish):
            self._ends[part.index] = part
            return
        if not self._begun:
            self._begun = True
            self._stage.note(first_chunk_s=(time.monotonic_ns() - self._arrival_ns) / 1e9)
        if self._limit:
            self._keep(part)

    def _keep(self, part: Delta) -> None:
        text = self._texts.get(part.index, "")
        if len(text) < self._limit:
            self._texts[part.index] = (text + part.text)[: self._limit]

    def end(self) -> None:
        """Nothing more will leave."""
        ends = [self._ends[index] for index in sorted(self._ends)]
        if not self._stage.noted or not ends:
            return
        self._stage.note(
            finish_reasons=tuple(end.reason.value for end in ends),
            prompt_tokens=ends[0].usage.prompt_tokens,  # once, however many sequences continue it
            cached_tokens=ends[0].usage.cached_tokens,
            completion_tokens=sum(end.usage.completion_tokens for end in ends),
        )
        if self._texts:
            indices = sorted(self._texts)
            reasons = [self._ends[index].reason.value if index in self._ends else "" for index in indices]
            told = [(self._texts[index], reason) for index, reason in zip(indices, reasons, strict=True)]
            self._stage.note(text_out=tuple(word for pair in told for word in pair))


class SequenceWay:
    """The stages of one sequence, from where it is handed to an engine to its end. It ends once, after its call if need
    be, and the call's trail waits for it.

    Args:
        stage: of its call. index: of the sequence, if there are several.
    """

    def __init__(self, stage: Stage, index: int | None) -> None:
        self._call = stage
        self._index = index
        self._submitted_ns = 0
        self._first_ns = self._last_ns = 0  # tokens, as they came here
        self._detokenise_ns = 0
        self._longest_s = 0.0  # between two tokens

    @classmethod
    def of(cls, stage: Stage, index: int | None) -> SequenceWay | None:
        """One if anything is kept of it."""
        return cls(stage, index) if stage.noted else None

    def submitted(self) -> None:
        """The sequence is handed over now; it will have its end."""
        self._submitted_ns = time.monotonic_ns()
        assert self._call.trail is not None, "there is one"
        self._call.trail.hold()

    def token(self, begin_ns: int) -> None:
        """A token came at ``begin_ns``, and is text by now."""
        now_ns = time.monotonic_ns()
        self._first_ns = self._first_ns or begin_ns
        self._last_ns = now_ns
        self._detokenise_ns += now_ns - begin_ns

    def exemplar(self, at_ns: int, gap_s: float | None = None) -> Exemplar:
        """See :meth:`attendant.core.stages.Trail.exemplar`.

        Args:
            gap_s: of a further token, seconds since the one before. Only the longest so far is worth an example.
        """
        if gap_s is not None:
            if gap_s <= self._longest_s:
                return None
            self._longest_s = gap_s
        assert self._call.trail is not None, "there is one"
        return self._call.trail.exemplar(at_ns)

    def ended(self, event: FinishedEvent | FailedEvent, request: Request) -> None:
        """The sequence has ended."""
        now_ns = time.monotonic_ns()
        stage = self._call
        if self._index is not None:
            stage = stage.begin("sequence", self._submitted_ns, index=self._index)
        self._stages(stage, event, request.arrival_ns, now_ns)
        if stage is not self._call:
            if isinstance(event, FailedEvent):
                stage.fail(type(event.error))
            else:
                stage.note(finish_reason=event.reason.value)
            stage.end(now_ns)
        assert self._call.trail is not None, "there is one"
        self._call.trail.release()

    def _stages(self, stage: Stage, event: FinishedEvent | FailedEvent, arrival_ns: int, now_ns: int) -> None:
        timings, usage = event.timings, event.usage
        scheduled_ns = arrival_ns + timings.queue_ns if timings.queue_ns else now_ns
        stage.add("queue", self._submitted_ns, scheduled_ns)
        if timings.prefill_ns:
            end_ns = scheduled_ns + timings.prefill_ns
            prefill = stage.add("prefill", scheduled_ns, end_ns, reused_tokens=usage.cached_tokens)
            for run in timings.runs:
                if run.begin_ns < end_ns:
                    _add_run(prefill, run, "chunk")
        if timings.first_token_ns:
            begin_ns = arrival_ns + timings.first_token_ns
            decode = stage.add("decode", begin_ns, begin_ns + timings.decode_ns, num_tokens=usage.completion_tokens)
            for run in timings.runs:
                if run.begin_ns >= begin_ns:
                    _add_run(decode, run, "recompute")  # it had lost its memory to others
        if self._first_ns:
            stage.add("detokenise", self._first_ns, self._last_ns, busy_s=self._detokenise_ns / 1e9)


def _add_run(stage: Stage, run: PromptRun, name: str) -> None:
    if run.start < 0:
        stage.add("encode source", run.begin_ns, run.end_ns, source_positions=run.num_tokens)
    else:
        stage.add(name, run.begin_ns, run.end_ns, start=run.start, num_tokens=run.num_tokens)
