"""The parts of answers as objects of Completions: all in one, or chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Sequence
from typing import Any

from attendant.core.generation import Delta, Finish, GenerationPart
from attendant.http.api.answers import Event, Events
from attendant.http.api.openai.completion_body import CompletionBody
from attendant.http.api.openai.legacy_logprobs import LegacyLogprobs
from attendant.http.api.openai.objects import DONE, UsageTally, finish_reason, new_id, stop_reason
from attendant.http.api.openai.sampling import stop_strings

Parts = AsyncIterable[tuple[int, GenerationPart]]
"""Parts of answers, each with the place of its prompt in the call."""


class CompletionAnswer:
    """The answers to a call's prompts on their way.

    Args:
        echoes: text of each prompt, that its choices begin with; empty for none.
        prompt_ids: token ids of each prompt, told with its choices; empty where nobody asked.
    """

    def __init__(self, body: CompletionBody, echoes: Sequence[str] = (), prompt_ids: Sequence[Sequence[int]] = ()):
        self._id = new_id("cmpl-")
        self._created = int(time.time())
        self._body = body
        self._echoes = echoes
        self._prompt_ids = prompt_ids
        self._num_kept = 1 if body.n is None else body.n
        self._stop_ids = frozenset(body.stop_token_ids or ())
        options = body.stream_options
        self._with_usage = options is not None and bool(options.include_usage)
        self._always_usage = options is not None and bool(options.continuous_usage_stats)
        self._usage: dict[int, UsageTally] = {}
        self._logprobs: dict[tuple[int, int], LegacyLogprobs] = {}

    async def whole(self, parts: Parts) -> dict[str, Any]:
        """The answers as one object. Of more sequences than are kept, those are whose tokens are the most probable."""
        found: dict[int, dict[int, _Choice]] = {}
        async for prompt, part in parts:
            self._count(prompt, part)
            choice = found.setdefault(prompt, {}).setdefault(part.index, _Choice())
            choice.take(part)
        choices = []
        for prompt, sequences in sorted(found.items()):
            for place, (index, choice) in enumerate(self._kept(sequences)):
                choices.append(self._object(prompt, index, choice) | {"index": prompt * self._num_kept + place})
        return self._headed(choices) | {"usage": self._usage_object()}

    async def events(self, parts: Parts) -> Events:
        """The answers as chunks."""
        begun: set[tuple[int, int]] = set()
        async for prompt, part in parts:
            self._count(prompt, part)
            choice = _Choice()
            choice.take(part)
            first = (prompt, part.index) not in begun
            if first or choice.says_something or self._body.logprobs is not None or self._body.return_token_ids:
                yield self._chunk(self._piece(prompt, part, choice, first=first))
                begun.add((prompt, part.index))
        if self._with_usage:
            yield Event(self._headed([]) | {"usage": self._usage_object()})
        yield DONE

    def _piece(self, prompt: int, part: GenerationPart, choice: _Choice, *, first: bool) -> dict[str, Any]:
        told = self._object(prompt, part.index, choice, first=first)
        return told | {"index": prompt * self._num_kept + part.index}

    def _object(self, prompt: int, index: int, choice: _Choice, *, first: bool = True) -> dict[str, Any]:
        """What is known of a choice, or new. ``first``: it begins with that."""
        finish, text = choice.finish, choice.text
        told: dict[str, Any] = {"index": index}
        if finish is not None and self._body.include_stop_str_in_output:
            text += finish.stop_string or ""
        if first and self._echoes:
            text = self._echoes[prompt] + text
        told |= {"text": text, "logprobs": self._entries(prompt, index, choice), "finish_reason": None}
        if finish is not None:
            told |= {"finish_reason": finish_reason(finish, named=True), **stop_reason(finish, self._stop_ids)}
        if self._body.return_token_ids:
            told["token_ids"] = choice.token_ids
            if first:
                told["prompt_token_ids"] = list(self._prompt_ids[prompt])
        return told

    def _entries(self, prompt: int, index: int, choice: _Choice) -> dict[str, Any] | None:
        if self._body.logprobs is None:
            return None
        key = (prompt, index)
        if key not in self._logprobs:
            body = self._body
            self._logprobs[key] = LegacyLogprobs(
                stops=bool(stop_strings(body.stop)), as_ids=bool(body.return_tokens_as_token_ids)
            )
        return self._logprobs[key].take(choice.deltas, choice.finish)

    def _kept(self, sequences: dict[int, _Choice]) -> list[tuple[int, _Choice]]:
        listed = sorted(sequences.items())
        if len(listed) <= self._num_kept:
            return listed
        return sorted(listed, key=lambda each: -each[1].mean_logprob)[: self._num_kept]

    def _count(self, prompt: int, part: GenerationPart) -> None:
        self._usage.setdefault(prompt, UsageTally()).take(part)

    def _usage_object(self) -> dict[str, Any]:
        total = UsageTally()
        for each in self._usage.values():
            total.prompt += each.prompt
            total.cached += each.cached
            total.completion += each.completion
        return total.chat_usage()

    def _headed(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": self._id, "object": "text_completion", "created": self._created, "model": self._body.model}
        return head | {"choices": choices}

    def _chunk(self, choice: dict[str, Any]) -> Event:
        chunk = self._headed([choice])
        if self._with_usage:
            chunk["usage"] = self._usage_object() if self._always_usage else None
        return Event(chunk)


class _Choice:
    """All of one sequence, or a part of it."""

    def __init__(self) -> None:
        self.text = ""
        self.token_ids: list[int] = []
        self.deltas: list[Delta] = []
        self.finish: Finish | None = None

    @property
    def says_something(self) -> bool:
        """Whether a stream has to tell it."""
        return bool(self.text) or self.finish is not None

    @property
    def mean_logprob(self) -> float:
        """Of its tokens."""
        found = [entry.logprob for delta in self.deltas for entry in delta.logprobs]
        return sum(found) / len(found) if found else 0.0

    def take(self, part: GenerationPart) -> None:
        """Append a part."""
        if isinstance(part, Finish):
            self.finish = part
            return
        self.text += part.reasoning + part.text
        self.token_ids += part.token_ids
        self.deltas.append(part)
