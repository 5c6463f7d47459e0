"""Messages of the protocol that tell of the server and its models, as JSON: each field by its name, numbers as such."""

from __future__ import annotations

from typing import Any

from attendant_proto.openinference import inference_pb2 as pb
from google.protobuf.message import Message

from attendant.core.errors import InvalidRequest
from attendant.http.api.openinference.answering import values
from attendant.http.api.openinference.bodies import ChangeBody, SettingsBody


def plain(message: Message) -> dict[str, Any]:
    """A message as an object. Fields that are unset are there with their defaults, unless they tell by being there."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if not field.has_presence or message.HasField(field.name):
            found[field.name] = _value(field, getattr(message, field.name))
    return found


def _value(field: Any, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"]
        return {str(key): _single(inner, each) for key, each in sorted(value.items())}
    return [_single(field, each) for each in value] if field.is_repeated else _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    return field.enum_type.values_by_number[value].name if field.enum_type is not None else value


def load_request(name: str, body: ChangeBody) -> pb.RepositoryModelLoadRequest:
    """A request to load a model. Its parameters are refused by what reads the message."""
    message = pb.RepositoryModelLoadRequest(model_name=name)
    _put_parameters(message.parameters, body)
    return message


def unload_request(name: str, body: ChangeBody) -> pb.RepositoryModelUnloadRequest:
    """A request to unload a model."""
    message = pb.RepositoryModelUnloadRequest(model_name=name)
    _put_parameters(message.parameters, body)
    return message


def _put_parameters(found: Any, body: ChangeBody) -> None:
    for name, value in (body.parameters or {}).items():
        match value:
            case bool():
                found[name].bool_param = value
            case int() if -(2**63) <= value < 2**63:
                found[name].int64_param = value
            case _:
                found[name].string_param = str(value)[:100]


def log_request(body: SettingsBody) -> pb.LogSettingsRequest:
    """Settings of the log. Raises InvalidRequest for a value of a type that none of them has."""
    message = pb.LogSettingsRequest()
    for name, value in body.root.items():
        setting = message.settings[name]
        match value:
            case bool():
                setting.bool_param = value
            case int() if 0 <= value < 2**32:
                setting.uint32_param = value
            case str():
                setting.string_param = value
            case _:
                raise InvalidRequest(f"settings[{name[:100]}]", "is no flag, no whole number from 0 on and no text")
    return message


def log_told(message: pb.LogSettingsResponse) -> dict[str, Any]:
    """The settings of the log."""
    return values(message.settings)


def trace_request(model: str, body: SettingsBody) -> pb.TraceSettingRequest:
    """Settings of traces: texts, or lists of them. Raises InvalidRequest for another type."""
    message = pb.TraceSettingRequest(model_name=model)
    for name, value in body.root.items():
        words = value if isinstance(value, list) else [value]
        if not all(isinstance(word, str) for word in words):
            raise InvalidRequest(f"settings[{name[:100]}]", "is neither a text nor a list of texts")
        message.settings[name].value.extend(words)
    return message


def trace_told(message: pb.TraceSettingResponse) -> dict[str, Any]:
    """The settings of traces: the level is a list, as Triton has it."""
    return {
        name: list(each.value) if name == "trace_level" else "".join(each.value)
        for name, each in message.settings.items()
    }
