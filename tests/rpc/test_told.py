"""What is told of what callers send: errors show its beginning at most, and the log nothing, however much it logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attendant.demo
import grpc
import grpc.aio
import pytest
from attendant_proto.v1 import encoding_pb2, generation_pb2, models_pb2
from google.protobuf.descriptor import FieldDescriptor

from tests.rpc.vllm.served import Served, run

DEMO = Path(attendant.demo.__file__).parent
MARK = "told-to-nobody "
MOST_SHOWN = 700
"""Characters of an error's text that can be the caller's own; a grammar shows the line that is wrong."""

Path_ = tuple[FieldDescriptor, ...]


def texts(message: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Every field of a message that is a text or bytes, however deep."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from texts(field.message_type._concrete_class, (*path, field))
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            yield (*path, field)


def put(message: Any, path: Path_, text: str) -> None:
    for field in path[:-1]:
        inside = getattr(message, field.name)
        message = inside.add() if field.is_repeated else inside
    field = path[-1]
    value = text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


async def ended(call: Any) -> grpc.aio.AioRpcError | None:
    """What a call ended with; None if it was answered."""
    try:
        if hasattr(call, "read"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    return None


def test_errors_show_the_beginning_of_a_text_and_the_log_none(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[str] = []

    async def test(served: Served) -> None:
        methods: list[tuple[Any, Any]] = [(served.generation.Generate, generation_pb2.GenerateRequest)]
        methods += [(served.tokenizer.Tokenize, models_pb2.TokenizeRequest)]
        for name in ("Classify", "Embed", "Rerank", "ClassifyImage", "ClassifyAudio", "Transcribe"):
            methods.append((getattr(served.encoding, name), getattr(encoding_pb2, f"{name}Request")))
        for method, kind in methods:
            for path in texts(kind):
                request = kind()
                if kind is generation_pb2.GenerateRequest:
                    request.text = "hello"
                    request.stopping.max_tokens = 2
                put(request, path, MARK * 1000)
                error = await ended(method(request))
                tried.append(".".join(field.name for field in path))
                if error is not None:
                    shown = (error.details() or "").count(MARK) * len(MARK)
                    assert shown <= MOST_SHOWN, f"{tried[-1]}: {error.details()}"
                    assert error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), error

    with caplog.at_level(logging.DEBUG):
        run([DEMO / "bundle", DEMO / "sentiment", DEMO / "shapes"], (), test)
    assert {"chat.messages.content", "translation.source_language", "tool_format", "inputs.text", "images"} <= {*tried}
    assert not [record.getMessage() for record in caplog.records if MARK in record.getMessage()]
