"""The account of one request: what the log says of it, in one line, once it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from attendant.core.stages import CallEnd

if TYPE_CHECKING:
    from attendant.core.context import CallContext
    from attendant.core.request import Timings, Usage

MOST_OF_NAME = 200
"""Characters that are kept of a name that a caller chose."""


class CallLog(Protocol):
    """What writes of requests. Belongs to the event loop's thread."""

    def begin(self, context: CallContext, protocol: str, method: str) -> CallContext:
        """A request has come, by ``grpc`` or ``http``: its context, with a tally that is to be closed."""
        ...

    def take(self, tally: Tally) -> None:
        """A request has ended, and so has everything that was begun for it."""
        ...


class Tally:
    """What is counted of one request on its way. It has one end, whatever took the request in says when; the line is
    written then, or once the sequences have ended that were begun for it. Belongs to the event loop's thread.

    Args:
        request_id: of its context. arrival_ns: when it came, monotonic.
        protocol, method: as they stand in the line; whoever closes the tally may know the method better.
        part: of a request that came on a stream, its id there.
        text_limit: characters of its prompt, and of an answer, that are kept; 0 for none.

    Attributes:
        requested: the model that it names. models: those that worked for it, and their versions, in that order.
        stream: whether its answer comes in parts, where it may. n: sequences that it asks for; 0 where that is none.
        prompt_tokens, cached_tokens, completion_tokens: as its usage counts them; None where nothing was counted.
        rows, images: of models that encode. audio_s: seconds of sound.
        first_scheduled_ns, first_token_ns: when a model began with it, and had its first token; monotonic, 0 for never.
        reasons: why its sequences ended, each once.
        preemptions: how often a sequence of it lost its memory to others.
        prompt, answers: texts, if they are kept.
        error: what it failed with, or None. how: None until it has ended, at ``end_ns``.
        num_parts: requests that came on it as a stream.
    """

    __slots__ = (
        *("_log", "_num_held", "answers", "arrival_ns", "audio_s", "cached_tokens", "client", "completion_tokens"),
        *("end_ns", "error", "first_scheduled_ns", "first_token_ns", "how", "images", "method", "models", "n"),
        *("num_parts", "part", "preemptions", "priority", "prompt", "prompt_tokens", "protocol", "reasons"),
        *("request_id", "requested", "rows", "span_id", "stream", "subject", "tenant", "text_limit", "trace_id"),
    )

    def __init__(
        self,
        log: CallLog,
        request_id: str,
        arrival_ns: int,
        protocol: str,
        method: str,
        *,
        part: str = "",
        text_limit: int = 0,
    ) -> None:
        self._log = log
        self._num_held = 0
        self.request_id, self.arrival_ns, self.end_ns = request_id, arrival_ns, 0
        self.protocol, self.method, self.part = protocol, method, part
        self.text_limit = text_limit
        self.requested = ""
        self.models: list[tuple[str, str]] = []
        self.stream: bool | None = None
        self.n = 0
        self.prompt_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.rows = self.images = 0
        self.audio_s: float | None = None
        self.first_scheduled_ns = self.first_token_ns = 0
        self.reasons: list[str] = []
        self.preemptions = self.num_parts = 0
        self.prompt = ""
        self.answers: dict[int, str] = {}
        self.error: type[BaseException] | None = None
        self.how: CallEnd | None = None
        self.client = self.subject = self.tenant = self.trace_id = self.span_id = ""
        self.priority = 0

    def begin_part(self, context: CallContext, part: str) -> Tally:
        """The tally of a request that came on this one, which is a stream; ``context`` is its own."""
        self.num_parts += 1
        found = Tally(
            self._log,
            context.request_id,
            context.arrival_ns,
            self.protocol,
            self.method,
            part=part[:MOST_OF_NAME],
            text_limit=self.text_limit,
        )
        found.priority = context.priority
        return found

    # -- what rooms note

    def asks(self, model: str, priority: int) -> None:
        """It names ``model``, as it came: what a route makes of that does not count."""
        self.requested = self.requested or model[:MOST_OF_NAME]
        self.priority = priority

    def runs_on(self, model: str, version: str) -> None:
        """This model works for it."""
        if (model, version) not in self.models:
            self.models.append((model, version))

    def begins_sequence(self) -> None:
        """An engine gets a sequence of it, which will end, perhaps after the request."""
        self._num_held += 1

    def ends_sequence(self, index: int, arrival_ns: int, usage: Usage, timings: Timings, reason: str) -> None:
        """A sequence has ended.

        Args:
            index: among those of one prompt, whose tokens count once.
            arrival_ns: what ``timings`` count from, monotonic.
            reason: why it ended; empty where that is not the request's own end.
        """
        self.completion_tokens = (self.completion_tokens or 0) + usage.completion_tokens
        if index == 0:
            self._count_prompt(usage.prompt_tokens, usage.cached_tokens)
        if timings.queue_ns:
            self._is_scheduled(arrival_ns + timings.queue_ns)
        if timings.first_token_ns:
            first_ns = arrival_ns + timings.first_token_ns
            self.first_token_ns = min(self.first_token_ns or first_ns, first_ns)
        self.preemptions += timings.num_preemptions
        if reason and reason not in self.reasons:
            self.reasons.append(reason)
        self._num_held -= 1
        self._look()

    def encoded(self, arrival_ns: int, queue_ns: int) -> None:
        """A model that encodes has run its rows, the first ``queue_ns`` after ``arrival_ns``."""
        self._is_scheduled(arrival_ns + queue_ns)

    def count_tokens(self, num_tokens: int) -> None:
        """So many tokens of it were read, by a model that encodes."""
        self.prompt_tokens = (self.prompt_tokens or 0) + num_tokens

    def hears_sound(self, seconds: float) -> None:
        """So much sound was read."""
        self.audio_s = (self.audio_s or 0.0) + seconds

    def hears(self, index: int, text: str) -> None:
        """More text of an answer, kept as far as that is asked for."""
        if self.text_limit and len(before := self.answers.get(index, "")) < self.text_limit:
            self.answers[index] = (before + text)[: self.text_limit]

    def says(self, words: Sequence[tuple[str, str]]) -> None:
        """What its caller said, role and text, kept as far as that is asked for; of several prompts the first."""
        if self.text_limit and not self.prompt:
            said = [text if not role else f"{role}: {text[: self.text_limit]}" for role, text in words]
            self.prompt = "\n".join(said)[: self.text_limit]

    def fails(self, error: type[BaseException]) -> None:
        """It fails with this; the first one counts."""
        self.error = self.error or error

    # -- its end

    def close(self, context: CallContext, how: CallEnd) -> None:
        """The request has ended. ``context``: as it was known at last."""
        if self.how is not None:
            return
        self.how, self.end_ns = how, time.monotonic_ns()
        self.client, self.subject, self.tenant = context.client, context.subject, context.tenant
        self.priority = self.priority or context.priority
        if context.trace is not None:
            self.trace_id = context.trace.trace_id
            self.span_id = context.trace.parent_id if context.stage.noted else ""
        self._look()

    @property
    def outcome(self) -> str:
        """In one word: ``ok``, ``refused`` (wrong, not permitted, or too much), ``cancelled``, or ``failed``, which the
        server answers for."""
        assert self.how is not None, "it has ended"
        if self.how.failed:
            return "failed"
        if self.how.cancelled:
            return "cancelled"
        return "refused" if self.how.refused else "ok"

    def _look(self) -> None:
        if self.how is not None and not self._num_held:
            self._log.take(self)

    def _count_prompt(self, num_tokens: int, num_cached: int) -> None:
        self.prompt_tokens = (self.prompt_tokens or 0) + num_tokens
        self.cached_tokens = (self.cached_tokens or 0) + num_cached

    def _is_scheduled(self, at_ns: int) -> None:
        self.first_scheduled_ns = min(self.first_scheduled_ns or at_ns, at_ns)
