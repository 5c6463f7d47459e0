"""What a call may carry: checked at the door, before anything is done with it, whatever contract it came by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from attendant.core.chat import ChatMessage, ChatPrompt, TextPart
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.core.json_values import is_deeper, text_is_deeper
from attendant.settings import LimitsSettings


class CallLimits:
    """The limits of one server. Every method raises InvalidRequest, which names the field, what it has, and what is
    allowed.

    Attributes:
        max_image_pixels: of an image, for those who decode it.
        by_tenant: what is cached of prompts is kept apart by tenant.
    """

    def __init__(self, settings: LimitsSettings | None = None) -> None:
        self._most = settings or LimitsSettings()
        self.max_image_pixels = self._most.max_image_pixels
        self.by_tenant = self._most.prefix_cache_by_tenant

    def check_generation(self, call: GenerationCall, max_requests: int) -> None:
        """A call that generates, but for how long its answer may be: see :meth:`check_answer`. ``max_requests``: that
        its model takes at once."""
        most = self._most
        self.check_prompt(call.prompt)
        _range("n", call.n, 1, min(most.max_sequences, max_requests))
        if call.resume is not None:
            _range("resume.index", call.resume.index, 0, min(most.max_sequences, max_requests) - 1)
        if call.logprobs is not None and call.logprobs > most.max_logprobs:
            _range("logprobs", call.logprobs, 0, most.max_logprobs)
        self._strings("stop", call.stop, most.max_stop_strings, most.max_stop_characters)
        self._strings("bad_phrases", call.bad_phrases, most.max_bad_phrases, most.max_bad_phrase_characters, each=True)
        _number("logit_bias", len(call.logit_bias or ()), most.max_logit_bias, "entries")
        if call.grammar is not None:
            _number(call.grammar.field, len(call.grammar.choices), most.max_grammar_choices, "texts")
            if call.grammar.kind == "json_schema":
                self._nested_text(call.grammar.field, call.grammar.text)
        self._tokens(call)

    def check_answer(self, call: GenerationCall, longest: int) -> None:
        """How long all answers of a call may be together, each of at most ``longest`` tokens."""
        total = call.n * longest
        if total > self._most.max_answer_tokens:
            said = "is missing, and" if call.max_tokens is None else f"is {call.max_tokens}, and"
            reason = f"{call.n} sequences of up to {longest} tokens have {total:,} together"
            raise InvalidRequest("max_tokens", f"{said} {reason}; allowed: {self._most.max_answer_tokens:,}")

    def check_prompt(self, prompt: object) -> None:
        """A prompt of any kind: the tokens of one are for its model to count."""
        match prompt:
            case TextPrompt(text=text):
                self.check_text("text", text)
            case ChatPrompt() as chat:
                self._chat(chat)

    def check_text(self, field: str, text: str) -> None:
        """One text."""
        _number(field, len(text), self._most.max_text_characters, "characters")

    def check_text_tokens(self, field: str, token_ids: Sequence[int]) -> None:
        """Token ids that become a text."""
        _number(field, len(token_ids), self._most.max_text_tokens, "tokens")

    def check_texts(self, field: str, texts: Iterable[str]) -> None:
        """Several texts. ``field``: with a place for the number of a text."""
        most = self._most.max_text_characters
        for place, text in enumerate(texts):
            if len(text) > most:
                self.check_text(field.format(place), text)

    def check_inputs(self, field: str, inputs: Sequence[Any]) -> None:
        """How many inputs a call has."""
        _number(field, len(inputs), self._most.max_inputs, "inputs")

    def check_image(self, field: str, data: bytes) -> None:
        """One image file."""
        _number(field, len(data), self._most.max_image_bytes, "bytes")

    def check_sound(self, field: str, data: bytes) -> None:
        """One recording, or a piece of one."""
        _number(field, len(data), self._most.max_sound_bytes, "bytes")

    def _chat(self, chat: ChatPrompt) -> None:
        pieces = len(chat.messages) + len(chat.tools) + len(chat.documents)
        pieces += sum([_pieces(message) for message in chat.messages])
        if pieces > self._most.max_chat_pieces:
            what = "messages, parts, tool calls, tools and documents"
            raise InvalidRequest("chat", f"has {pieces:,} {what}; allowed: {self._most.max_chat_pieces:,} in all")
        for place, message in enumerate(chat.messages):
            self._message(f"messages[{place}]", message)
        for place, tool in enumerate(chat.tools):
            self._name(f"tools[{place}].name", tool.name)
            self._nested(f"tools[{place}]", tool.definition)
        for place, document in enumerate(chat.documents):
            self._nested(f"documents[{place}]", document)
        self._nested("template_variables", chat.variables)

    def _tokens(self, call: GenerationCall) -> None:
        most = self._most.max_listed_tokens
        lists: dict[str, int] = {
            "stop_token_ids": len(call.stop_token_ids),
            "suppress_tokens": len(call.suppress_tokens or ()),
            "begin_suppress_tokens": len(call.begin_suppress_tokens or ()),
            "bad_words": sum(map(len, call.bad_words or ())),
            "sequence_bias": sum([len(tokens) for tokens, _ in call.sequence_bias or ()]),
        }
        for field, count in lists.items():
            _number(field, count, most, "tokens")

    def _strings(self, field: str, texts: Sequence[str], most: int, longest: int, *, each: bool = False) -> None:
        _number(field, len(texts), most, "texts" if each else "strings")
        for place, text in enumerate(texts):
            if each and not 0 < len(text) <= longest:
                raise InvalidRequest(f"{field}[{place}]", f"has {len(text)} characters; allowed: 1 to {longest}")
            if not 0 < len(text) <= longest:
                raise InvalidRequest(field, f"has a string of {len(text)} characters; allowed: 1 to {longest}")

    def _message(self, field: str, message: ChatMessage) -> None:
        if isinstance(message.content, str):
            self.check_text(f"{field}.content", message.content)
        elif message.content:
            texts = [part.text if isinstance(part, TextPart) else "" for part in message.content]
            self.check_texts(f"{field}.parts[{{}}]", texts)
        self.check_text(f"{field}.reasoning", message.reasoning)
        self._name(f"{field}.role", message.role)
        self._name(f"{field}.name", message.name)
        self._name(f"{field}.tool_call_id", message.tool_call_id)
        for place, call in enumerate(message.tool_calls):
            told = f"{field}.tool_calls[{place}]"
            self._name(f"{told}.id", call.id)
            self._name(f"{told}.name", call.name)
            self.check_text(f"{told}.arguments", call.arguments)
            self._nested_text(f"{told}.arguments", call.arguments)

    def _name(self, field: str, name: str) -> None:
        _number(field, len(name), self._most.max_name_characters, "characters")

    def _nested(self, field: str, value: object) -> None:
        if is_deeper(value, self._most.max_nesting):
            self._too_deep(field)

    def _nested_text(self, field: str, text: str) -> None:
        if text_is_deeper(text, self._most.max_nesting):
            self._too_deep(field)

    def _too_deep(self, field: str) -> NoReturn:
        raise InvalidRequest(field, f"is nested too deeply; allowed: at most {self._most.max_nesting} levels")


def _pieces(message: ChatMessage) -> int:
    """Of a message, beside itself."""
    parts = len(message.content) if isinstance(message.content, tuple) else 0
    return parts + len(message.tool_calls)


def _number(field: str, count: int, most: int, what: str) -> None:
    if count > most:
        raise InvalidRequest(field, f"has {count} {what}; allowed: at most {most}")


def _range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidRequest(field, f"is {value}; allowed: {least} to {most}")
