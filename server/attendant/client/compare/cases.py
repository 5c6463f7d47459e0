"""The file of prompts: what a line may say, and what is said of one that cannot be used. See docs/compare.md."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from attendant_proto.v1 import encoding_pb2
from attendant_proto.v1 import generation_pb2 as pb

ROLES = ("system", "user", "assistant")


class BadCase(ValueError):
    """A line that cannot be used; says which, why, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the file.

    Attributes:
        text: a prompt, a text to translate, to classify or to embed. chat: a conversation, as (role, content).
        answer: a given answer, whose log-likelihood is compared.
        reference: a right answer, which generated ones are held against.
        label: the right label of the text.
        pair: a second text, for models that embed. score: how alike both are, in any unit.
        source_language, target_language: of a translation.
        max_tokens: of the answer.
    """

    text: str = ""
    chat: tuple[tuple[str, str], ...] = ()
    answer: str = ""
    reference: str = ""
    label: str = ""
    pair: str = ""
    score: float | None = None
    source_language: str = ""
    target_language: str = ""
    max_tokens: int | None = None

    def generate_request(self, model: str, max_tokens: int, *, chats: bool, translates: bool) -> pb.GenerateRequest:
        """A greedy answer. ``chats``: the model has a chat template; a text is then what its user says."""
        request = pb.GenerateRequest(model=model, sampling=pb.Sampling(temperature=0))
        request.stopping.max_tokens = self.max_tokens or max_tokens
        if self.chat:
            for role, content in self.chat:
                request.chat.messages.add(role=role, content=content)
        elif chats:
            request.chat.messages.add(role="user", content=self.text)
        else:
            request.text = self.text
        if translates:
            request.translation.SetInParent()
            request.translation.source_language = self.source_language
            request.translation.target_language = self.target_language
        return request

    def inputs(self) -> list[encoding_pb2.TextInput]:
        """The text, and its pair if it has one, for a model that encodes."""
        return [encoding_pb2.TextInput(text=text) for text in (self.text, self.pair) if text]


_NAMES = tuple(field.name for field in fields(Case))
_TEXTS = ("text", "answer", "reference", "label", "pair", "source_language", "target_language")


def read_cases(lines: Iterable[str], name: str) -> list[Case]:
    """The cases of a file, empty lines left out.

    Raises:
        BadCase: a line that cannot be used, or a file without any.
    """
    cases = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                cases.append(parse_case(line))
            except BadCase as error:
                raise BadCase(f"{name}:{number}: {error}") from None
    if not cases:
        raise BadCase(f"{name}: has no prompts; allowed: one JSON object a line")
    return cases


def parse_case(line: str) -> Case:
    """One line. Raises BadCase."""
    try:
        values = json.loads(line)
    except ValueError as error:
        raise BadCase(f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise BadCase("is no JSON object")
    for key in values:
        if key not in _NAMES:
            raise BadCase(f"there is no field {key!r}; allowed: {', '.join(_NAMES)}")
    for key in _TEXTS:
        if not isinstance(values.get(key, ""), str):
            raise BadCase(f"{key} is {values[key]!r}; allowed: a text")
    chat = _chat(values.get("chat"))
    if bool(values.get("text")) == bool(chat):
        raise BadCase("needs text or chat, and not both")
    if "pair" in values and not values.get("text"):
        raise BadCase("pair stands without a text; allowed: beside text")
    score, max_tokens = values.get("score"), values.get("max_tokens")
    if score is not None and ("pair" not in values or not _is_number(score)):
        raise BadCase(f"score is {score!r}; allowed: a number, beside pair")
    if max_tokens is not None and (not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1):
        raise BadCase(f"max_tokens is {max_tokens!r}; allowed: a whole number of at least 1")
    return Case(**{**values, "chat": chat, "score": None if score is None else float(score)})


def _chat(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise BadCase(f"chat is {value!r}; allowed: a list of messages")
    messages = []
    for index, message in enumerate(value):
        good = isinstance(message, dict) and set(message) == {"role", "content"}
        if not good or not all(isinstance(part, str) for part in message.values()):
            raise BadCase(f"chat[{index}] is {message!r}; allowed: role and content, both texts")
        messages.append((message["role"], message["content"]))
    return tuple(messages)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
