"""What a request says beside its tensors of how an answer is made: values by name, as JSON or as parameters, made
fields of a message of attendant.v1."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from attendant_proto.v1.generation_pb2 import BeamSearch
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.ports import InferCall
from attendant.rpc.openinference.single import field_of, parsed, shown, text

SAMPLING_PARAMETERS = "sampling_parameters"
"""The input whose JSON has values by name."""

_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_BEAMS = tuple(field.name for field in BeamSearch.DESCRIPTOR.fields)
_ALLOWED_JSON = "an object of parameters by name"


@dataclass(frozen=True, slots=True)
class Said:
    """One value that a request gives. ``field``: where it stands in the request, for errors."""

    value: Any
    field: str

    def refusal(self, allowed: str) -> InvalidRequest:
        """What refuses the value."""
        return InvalidRequest(self.field, f"is {shown(self.value)}; allowed: {allowed}")

    def flag(self) -> bool:
        """The value as a bool; clients of Triton's vLLM backend send strings. Raises InvalidRequest."""
        value = self.value.lower() if isinstance(self.value, str) else self.value
        if value is True or value == "true":
            return True
        if value is False or value == "false":
            return False
        raise self.refusal("true or false")


def everything_said(call: InferCall) -> dict[str, Said]:
    """The values of the input ``sampling_parameters`` and of the request's parameters, by name. ``null`` says nothing.

    Both may give the same value, as clients of Triton's vLLM backend do.

    Raises:
        InvalidRequest: the JSON is none, or not an object; or both give a name different values.
    """
    found = {name: Said(value, f"parameters[{name[:100]}]") for name, value in call.parameters.items()}
    words = text(call, SAMPLING_PARAMETERS)
    if words is None:
        return found
    field = field_of(SAMPLING_PARAMETERS)
    values = parsed(words, field, _ALLOWED_JSON)
    if not isinstance(values, dict):
        raise InvalidRequest(field, f"is {shown(values)}; allowed: {_ALLOWED_JSON}")
    for name, value in values.items():
        other = found.get(name)
        if value is None:
            continue
        if other is not None and str(other.value) != str(value):
            raise InvalidRequest(
                other.field,
                f"is {shown(other.value)}, and {SAMPLING_PARAMETERS} have {shown(value)}; allowed: one of both",
            )
        found[name] = Said(value, f"{SAMPLING_PARAMETERS}.{name[:100]}")
    return found


def fields_of(said: Mapping[str, Said]) -> dict[str, str]:
    """Where a request says what errors speak of, by the name that they have for it."""
    fields = {name: each.field for name, each in said.items()}
    if "beam_search" in fields:
        fields |= {name: f"{fields['beam_search']}.{name}" for name in _BEAMS}
    return fields


def check_known(said: Mapping[str, Said], known: Collection[str]) -> None:
    """Raises InvalidRequest for a name that is not among ``known``."""
    for name, each in said.items():
        if name not in known:
            raise InvalidRequest(each.field, f"is not known; allowed: {', '.join(sorted(known))}")


def put(message: Any, name: str, said: Said) -> None:
    """Set a field of a message.

    Numbers and flags may be strings. A list or a message is JSON: an array, an object by protobuf's mapping, or text of
    either; lists of tokens are arrays.

    Raises:
        InvalidRequest: the value is of another type, or out of the type's range.
    """
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated or field.message_type is not None:
        _parse(message, field, said)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        setattr(message, name, said.flag())
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(said.value, str):
            raise said.refusal("a text")
        setattr(message, name, said.value)
    elif field.cpp_type in _WHOLE:
        setattr(message, name, _whole(said, *_WHOLE[field.cpp_type]))
    else:
        setattr(message, name, _number(said))


def _number(said: Said) -> float:
    try:
        if not isinstance(said.value, bool):
            return float(said.value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise said.refusal("a number")


def _whole(said: Said, least: int, most: int) -> int:
    value = said.value
    allowed = f"a whole number from {least} to {most}"
    try:
        number = int(value) if isinstance(value, str | int) or float(value).is_integer() else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if isinstance(value, bool) or number is None or not least <= number <= most:
        raise said.refusal(allowed)
    return number


def _parse(message: Any, field: Any, said: Said) -> None:
    kind = "an array" if field.message_type is None else field.message_type.name
    kind = "an object" if field.message_type is not None and field.message_type.GetOptions().map_entry else kind
    value = said.value
    if isinstance(value, str):
        value = parsed(value, said.field, f"JSON of {kind}")
    if isinstance(value, list) and field.message_type is not None:
        value = _tokens(field.message_type.name, value)
    try:
        ParseDict({field.name: value}, message)
    except (ParseError, RecursionError) as error:
        why = str(error).replace("\n", " ")[:300]
        raise InvalidRequest(said.field, f"is {shown(said.value)}, which is not {kind}: {why}") from None


def _tokens(kind: str, value: list[Any]) -> Any:
    """Arrays of tokens as the messages that have them."""
    match kind:
        case "TokenIds":
            return {"ids": value}
        case "TokenSequences":
            return {"sequences": [{"ids": each} if isinstance(each, list) else each for each in value]}
    return value
