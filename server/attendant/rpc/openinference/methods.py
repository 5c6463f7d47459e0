"""Every call of attendant.v1 as one tensor: JSON in, JSON out. For callers whom only this service reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from attendant.core.context import CallContext, working_for
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.rpc.fields import on_wire
from attendant.rpc.openinference.contents import objects
from attendant.rpc.openinference.generated import as_json
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Tensor, TensorSpec
from attendant.rpc.openinference.single import as_text, is_large, parsed, shown
from attendant.rpc.sizes import LARGE_REQUEST

METHOD = "method"
"""The parameter that names a method. A request that has it is for :class:`MethodPort`, whatever its model does."""
NO_MODEL = "attendant"
"""What such requests may name as their model where none is meant, or where the JSON names it."""

REQUEST, RESPONSE = "request", "response"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service, and what serves it."""

    servicer: Any
    descriptor: MethodDescriptor

    @property
    def name(self) -> str:
        """As callers name it."""
        return f"{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    async def responses(self, messages: Sequence[Any]) -> AsyncGenerator[Any, None]:
        """What it answers: a stream, or the one response of another method."""
        serve = getattr(self.servicer, self.descriptor.name)
        request = _each(messages) if self.descriptor.client_streaming else messages[0]
        if not self.descriptor.server_streaming:
            yield await serve(request, None)
            return
        async with aclosing(serve(request, None)) as responses:
            async for response in responses:
                yield response


def methods_of(served: Iterable[tuple[ServiceDescriptor, Any]]) -> Mapping[str, Method]:
    """The methods of services by name, given what serves each service."""
    methods = [Method(servicer, each) for service, servicer in served for each in service.methods]
    return {method.name: method for method in methods}


class MethodPort:
    """The methods of attendant.v1, in JSON as protobuf maps it (bytes are base64).

    Args:
        methods: by name.
        model: that a request is for which names none; empty: none.
    """

    decoupled = True
    inputs = (TensorSpec(REQUEST, "BYTES", (-1,)),)
    outputs = (TensorSpec(RESPONSE, "BYTES", (-1,)),)

    def __init__(self, methods: Mapping[str, Method], model: str = "") -> None:
        self._methods = methods
        self._model = model

    async def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        """See :class:`~attendant.rpc.openinference.ports.Port`: a response for each message of the method's answer, or
        where ``alone`` one with all of them."""
        method = self._method(call)
        messages = await self._messages(method, call)
        service = method.descriptor.containing_service.full_name
        found: list[bytes] = []
        try:
            async with aclosing(within(context, method.responses(messages))) as responses:
                async for response in responses:
                    large = response.ByteSize() > LARGE_REQUEST
                    words = await asyncio.to_thread(as_json, response) if large else as_json(response)
                    if alone:
                        found.append(words)
                    else:
                        yield _answer([words])
        except AttendantError as error:
            raise on_wire(error, service) from error.__cause__
        if alone:
            yield _answer(found)

    def _method(self, call: InferCall) -> Method:
        for other in call.parameters:
            if other != METHOD:
                raise InvalidRequest(f"parameters[{other[:100]}]", f"is not known; allowed beside {METHOD}: none")
        name = call.parameters.get(METHOD)
        method = self._methods.get(name.strip("/")) if isinstance(name, str) else None
        if method is None:
            shown = name[:100] if isinstance(name, str) else name
            raise InvalidRequest(f"parameters[{METHOD}]", f"is {shown!r}; allowed: {', '.join(sorted(self._methods))}")
        return method

    async def _messages(self, method: Method, call: InferCall) -> list[Any]:
        values: list[bytes] = call.inputs[REQUEST].values.tolist()
        if len(values) != 1 and not method.descriptor.client_streaming:
            raise InvalidRequest(
                f"inputs[{REQUEST}]", f"has {len(values)} elements; allowed: 1, as {method.name} takes one message"
            )
        kind = GetMessageClass(method.descriptor.input_type)

        def read() -> list[Any]:
            return [_message(kind, value, f"inputs[{REQUEST}][{place}]") for place, value in enumerate(values)]

        messages = await asyncio.to_thread(read) if is_large(call) else read()
        if self._model:
            for place, message in enumerate(messages):
                _set_model(message, self._model, f"inputs[{REQUEST}][{place}]")
        return messages


async def within(context: CallContext, parts: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same parts, made in the name of ``context``, whoever iterates. Closing this closes them."""
    try:
        while True:
            with working_for(context):
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    return
            yield part
    finally:
        with working_for(context):
            await parts.aclose()


async def _each(messages: Sequence[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


def _message(kind: type[Any], value: bytes, field: str) -> Any:
    message = kind()
    allowed = f"an object, {message.DESCRIPTOR.full_name} as JSON"
    given = parsed(as_text(value, field), field, allowed)
    if not isinstance(given, dict):
        raise InvalidRequest(field, f"is {shown(given)}; allowed: {allowed}")
    try:
        return ParseDict(given, message)
    except (ParseError, RecursionError) as error:
        why = str(error).replace("\n", " ")[:500]
        raise InvalidRequest(field, f"is not {message.DESCRIPTOR.full_name}: {why}") from None


def _set_model(message: Any, model: str, field: str) -> None:
    """Have a message be for ``model``. Messages that can name none are left alone.

    Raises:
        InvalidRequest: it is for another one.
    """
    holder = _holder(message)
    if holder is None:
        return
    if holder.model not in ("", model):
        raise InvalidRequest(
            f"{field}.model",
            f"is {holder.model[:100]!r}; allowed: {model!r}, or none, or the model {NO_MODEL!r} in model_name",
        )
    holder.model = model


def _holder(message: Any) -> Any:
    """What of a message names its model; None if nothing does."""
    descriptor = message.DESCRIPTOR
    if "model" in descriptor.fields_by_name:
        return message
    if "options" in descriptor.fields_by_name:
        in_stream = descriptor.fields_by_name["options"].containing_oneof is not None
        return message.options if not in_stream or message.HasField("options") else None
    if "call" in descriptor.oneofs_by_name and (which := message.WhichOneof("call")):
        return _holder(getattr(message, which))
    return None


def _answer(words: list[bytes]) -> InferAnswer:
    return InferAnswer([Tensor(RESPONSE, "BYTES", objects(words))])
