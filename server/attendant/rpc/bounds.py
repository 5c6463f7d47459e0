"""What every message may have: of each text and list that nothing else bounds, how much. A field that is added is
bounded from the day on which it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from attendant.core.errors import InvalidRequest
from attendant.settings import LimitsSettings

_TEXT, _PIECES, _MESSAGE = "limits.max_text_characters", "limits.max_chat_pieces", "grpc.max_receive_bytes"
_INPUTS, _CONTEXT, _LISTED = "limits.max_inputs", "engine.max_context_length", "limits.max_listed_tokens"
_IMAGE, _SOUND, _GRAMMAR = "limits.max_image_bytes", "limits.max_sound_bytes", "grammar.max_bytes"
_CHOICES, _EXPLAINED, _VALUES = "limits.max_grammar_choices", "explain.max_tokens", "limits.max_nesting"
_NAME = "limits.max_name_characters"

ELSEWHERE: Mapping[str, str] = {
    "attendant.v1.AnswerRequest.Input.context": _TEXT,
    "attendant.v1.AnswerRequest.Input.question": _TEXT,
    "attendant.v1.AnswerRequest.inputs": _INPUTS,
    "attendant.v1.AudioInput.samples": _SOUND,
    "attendant.v1.AudioInput.wav": _SOUND,
    "attendant.v1.Chat.documents": _PIECES,
    "attendant.v1.Chat.given_template": "chat.max_template_characters",
    "attendant.v1.Chat.messages": _PIECES,
    "attendant.v1.Chat.template_variables": _VALUES,
    "attendant.v1.Chat.tools": _PIECES,
    "attendant.v1.ChatMessage.content": _TEXT,
    "attendant.v1.ChatMessage.name": _NAME,
    "attendant.v1.ChatMessage.parts": _PIECES,
    "attendant.v1.ChatMessage.reasoning": _TEXT,
    "attendant.v1.ChatMessage.role": _NAME,
    "attendant.v1.ChatMessage.tool_call_id": _NAME,
    "attendant.v1.ChatMessage.tool_calls": _PIECES,
    "attendant.v1.Choices.texts": _CHOICES,
    "attendant.v1.ClassifyAudioRequest.inputs": _INPUTS,
    "attendant.v1.ClassifyImageRequest.images": _INPUTS,
    "attendant.v1.ClassifyRequest.inputs": _INPUTS,
    "attendant.v1.ClassifyTokensRequest.texts": _INPUTS,
    "attendant.v1.DetokenizeRequest.token_ids": "limits.max_text_tokens",
    "attendant.v1.EmbedImageRequest.images": _INPUTS,
    "attendant.v1.EmbedRequest.inputs": _INPUTS,
    "attendant.v1.ExplainedAnswer.text": _TEXT,
    "attendant.v1.FillMaskRequest.texts": _INPUTS,
    "attendant.v1.GenerateRequest.text": _TEXT,
    "attendant.v1.Grammar.gbnf": _GRAMMAR,
    "attendant.v1.Grammar.json_schema": _GRAMMAR,
    "attendant.v1.Grammar.lark": _GRAMMAR,
    "attendant.v1.Grammar.regex": _GRAMMAR,
    "attendant.v1.RawAudio.pcm16": _SOUND,
    "attendant.v1.RerankRequest.documents": _INPUTS,
    "attendant.v1.RerankRequest.query": _TEXT,
    "attendant.v1.Sampling.bad_phrases": "limits.max_bad_phrases",
    "attendant.v1.Sampling.logit_bias": "limits.max_logit_bias",
    "attendant.v1.SequenceBias.entries": _LISTED,
    "attendant.v1.SpeechOptions.prompt": _TEXT,
    "attendant.v1.SpeechRequest.file": _SOUND,
    "attendant.v1.Stopping.stop": "limits.max_stop_strings",
    "attendant.v1.Stopping.stop_token_ids": _LISTED,
    "attendant.v1.Subject.audio": _SOUND,
    "attendant.v1.Subject.image": _IMAGE,
    "attendant.v1.Subject.second_text": _TEXT,
    "attendant.v1.Subject.text": _TEXT,
    "attendant.v1.TextInput.pair": _TEXT,
    "attendant.v1.TextInput.text": _TEXT,
    "attendant.v1.TokenIds.ids": _CONTEXT,
    "attendant.v1.TokenSequences.sequences": _LISTED,
    "attendant.v1.TokenizeRequest.text": _TEXT,
    "attendant.v1.Tool.definition": _VALUES,
    "attendant.v1.Tool.description": _MESSAGE,
    "attendant.v1.Tool.name": _NAME,
    "attendant.v1.Tool.parameters": _VALUES,
    "attendant.v1.ToolCall.arguments": _TEXT,
    "attendant.v1.ToolCall.id": _NAME,
    "attendant.v1.ToolCall.name": _NAME,
    "attendant.v1.TranscribeRequest.inputs": _INPUTS,
    "attendant.v1.WordInContext.text": _EXPLAINED,
    "inference.InferParameter.string_param": _MESSAGE,
    "inference.InferTensorContents.bool_contents": _MESSAGE,
    "inference.InferTensorContents.bytes_contents": _MESSAGE,
    "inference.InferTensorContents.fp32_contents": _MESSAGE,
    "inference.InferTensorContents.fp64_contents": _MESSAGE,
    "inference.InferTensorContents.int64_contents": _MESSAGE,
    "inference.InferTensorContents.int_contents": _MESSAGE,
    "inference.InferTensorContents.uint64_contents": _MESSAGE,
    "inference.InferTensorContents.uint_contents": _MESSAGE,
    "inference.ModelInferRequest.raw_input_contents": _MESSAGE,
    "tei.v1.DecodeRequest.ids": "limits.max_text_tokens",
    "tei.v1.EmbedAllRequest.inputs": _TEXT,
    "tei.v1.EmbedRequest.inputs": _TEXT,
    "tei.v1.EmbedSparseRequest.inputs": _TEXT,
    "tei.v1.EncodeRequest.inputs": _TEXT,
    "tei.v1.PredictPairRequest.inputs": _TEXT,
    "tei.v1.PredictRequest.inputs": _TEXT,
    "tei.v1.RerankRequest.query": _TEXT,
    "tei.v1.RerankRequest.texts": _INPUTS,
    "tei.v1.RerankStreamRequest.query": _TEXT,
    "tei.v1.RerankStreamRequest.text": _TEXT,
    "vllm.grpc.engine.ChoiceConstraint.choices": _CHOICES,
    "vllm.grpc.engine.GenerateRequest.text": _MESSAGE,
    "vllm.grpc.engine.SamplingParams.grammar": _GRAMMAR,
    "vllm.grpc.engine.SamplingParams.json_schema": _GRAMMAR,
    "vllm.grpc.engine.SamplingParams.logit_bias": "limits.max_logit_bias",
    "vllm.grpc.engine.SamplingParams.regex": _GRAMMAR,
    "vllm.grpc.engine.SamplingParams.stop": "limits.max_stop_strings",
    "vllm.grpc.engine.SamplingParams.stop_token_ids": _LISTED,
    "vllm.grpc.engine.SamplingParams.structural_tag": _MESSAGE,
    "vllm.grpc.engine.TokenizedInput.input_ids": _CONTEXT,
    "vllm.grpc.engine.TokenizedInput.original_text": _MESSAGE,
}
"""Fields that are not checked here, and the setting that bounds them. Raw tensors, and what is not looked at, are as
large as a message may be."""

_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
Check = Callable[[Any, str], None]
Checks = Mapping[int, Check]
"""By the number of a field."""


class MessageBounds:
    """Checks messages of any kind. What a kind has to be checked for is found out once."""

    def __init__(self, settings: LimitsSettings | None = None) -> None:
        most = settings or LimitsSettings()
        self._characters, self._entries = most.max_name_characters, most.max_entries
        self._checks = lru_cache(maxsize=None)(self._found)

    def check(self, message: Any) -> None:
        """See that a message has no more than it may. Raises InvalidRequest, by the path of the field."""
        _look(message, self._checks(message.DESCRIPTOR), "")

    def fields(self, kind: Descriptor) -> frozenset[str]:
        """The full names of the fields that are checked in a kind of message itself."""
        return frozenset(f.full_name for f in kind.fields if _own(f))

    def _found(self, kind: Descriptor, above: tuple[Descriptor, ...] = ()) -> Checks:
        """What is to be looked at in a kind of message: fields with a check of their own, or with some within."""
        found: dict[int, Check] = {}
        for field in kind.fields:
            if _is_map(field):
                found[field.number] = self._map(field)
            elif field.message_type is not None and field.message_type not in above:
                within = self._found(field.message_type, (*above, kind))
                if within or _own(field):
                    found[field.number] = self._messages(field, within) if field.is_repeated else _within(within)
            elif _own(field):
                found[field.number] = self._list(field) if field.is_repeated else self._text
        return found

    def _text(self, value: str | bytes, path: str) -> None:
        if len(value) > self._characters:
            unit = "bytes" if isinstance(value, bytes) else "characters"
            raise InvalidRequest(path, f"has {len(value)} {unit}; allowed: at most {self._characters}")

    def _count(self, values: Any, path: str) -> None:
        if len(values) > self._entries:
            raise InvalidRequest(path, f"has {len(values)} entries; allowed: at most {self._entries}")

    def _list(self, field: FieldDescriptor) -> Check:
        def check(values: Any, path: str) -> None:
            self._count(values, path)
            if field.type in _TEXTS:
                for place, each in enumerate(values):
                    self._text(each, f"{path}[{place}]")

        return check

    def _map(self, field: FieldDescriptor) -> Check:
        assert field.message_type is not None, "a map's entries are messages"
        value = field.message_type.fields_by_name["value"]
        within = self._found(value.message_type) if value.message_type is not None else {}

        def check(values: Any, path: str) -> None:
            self._count(values, path)
            for key in values:
                self._text(str(key), f"{path}'s name")
                if within:
                    _look(values[key], within, f"{path}[{str(key)[:60]!r}].")

        return check

    def _messages(self, field: FieldDescriptor, within: Checks) -> Check:
        own = _own(field)

        def check(values: Any, path: str) -> None:
            if own:
                self._count(values, path)
            if within:
                for place, each in enumerate(values):
                    _look(each, within, f"{path}[{place}].")

        return check


def _within(checks: Checks) -> Check:
    return lambda value, path: _look(value, checks, f"{path}.")


def _look(message: Any, checks: Checks, above: str) -> None:
    """Look at the fields that a message has. ``above``: the path that leads to it."""
    for field, value in message.ListFields():
        check = checks.get(field.number)
        if check is not None:
            check(value, f"{above}{field.name}")


def _own(field: FieldDescriptor) -> bool:
    """Whether a field is checked here: a text or list that nothing else bounds."""
    return field.full_name not in ELSEWHERE and (field.is_repeated or field.type in _TEXTS)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
