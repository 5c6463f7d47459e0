"""Models that generate, as tensors: those that continue a prompt, and those that read a text and write another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from functools import partial

from attendant.bundle import AudioSource, GeneratorManifest
from attendant.core.context import CallContext
from attendant.core.errors import AttendantError, InvalidRequest
from attendant.frontend.front_end import FrontEnd
from attendant.models.info import ModelInfo
from attendant.rpc import convert
from attendant.rpc.context import of_request
from attendant.rpc.convert_chat import timely
from attendant.rpc.openinference import asked
from attendant.rpc.openinference.generated import (
    CUMULATIVE,
    FINISH,
    LOGPROBS,
    ON_REQUEST,
    OUTPUTS,
    REASONING,
    TOOL_CALLS,
    Answer,
)
from attendant.rpc.openinference.ports import InferAnswer, InferCall, Port, TensorSpec
from attendant.rpc.openinference.said import SAMPLING_PARAMETERS
from attendant.rpc.openinference.single import flag, is_large
from attendant.rpc.recording import CallRecording
from attendant.traffic.recorder import Recorder

RETURN = {f"return_{name}": name for name in ON_REQUEST}
"""Inputs that ask for outputs."""

_PROMPTS = (
    TensorSpec(asked.TEXT, "BYTES", (1,), optional=True),
    TensorSpec(asked.IDS, "INT64", (-1,), optional=True, also=("INT32",)),
)
_CHAT = TensorSpec(asked.CHAT, "BYTES", (1,), optional=True)
_LANGUAGES = tuple(TensorSpec(name, "BYTES", (1,), optional=True) for name in asked.LANGUAGES)
_OTHERS = (
    TensorSpec(asked.STREAM, "BOOL", (1,), optional=True),
    TensorSpec(SAMPLING_PARAMETERS, "BYTES", (1,), optional=True),
    TensorSpec(asked.EXCLUDE_INPUT, "BOOL", (1,), optional=True),
    *(TensorSpec(name, "BOOL", (1,), optional=True) for name in RETURN),
)


def generator_ports(
    info: ModelInfo, front_end: FrontEnd, recorder: Recorder | None = None
) -> Iterable[tuple[str, Port]]:
    """The port of a model that generates; none of one that does not, or that hears. ``recorder``: keeps some calls."""
    if info.generation is not None and not isinstance(info.generation.manifest.encoder_input, AudioSource):
        yield "generate", GeneratorPort(info.generation.manifest, front_end, recorder)


class GeneratorPort:
    """A model that generates: a text, a chat or tokens in, a text out, at once or in pieces as it comes."""

    decoupled = True
    outputs = OUTPUTS

    def __init__(self, manifest: GeneratorManifest, front_end: FrontEnd, recorder: Recorder | None = None) -> None:
        self._manifest = manifest
        self._service = front_end.generation
        self._recorder = recorder

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All that a request may have."""
        manifest = self._manifest
        chat = (_CHAT,) if manifest.encoder_input is None and manifest.templates() else ()
        return (*_PROMPTS, *chat, *(_LANGUAGES if manifest.languages is not None else ()), *_OTHERS)

    async def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        """See :class:`~attendant.rpc.openinference.ports.Port`: one response, or where ``stream`` is set one for each
        piece of a sequence, and one when a sequence has ended."""
        wanted = frozenset(name for given, name in RETURN.items() if flag(call, given)) | set(call.outputs)
        scored = not wanted.isdisjoint((LOGPROBS, CUMULATIVE))
        reading = partial(asked.read, call, self._manifest, alone=alone, scored=scored)
        read = await asyncio.to_thread(reading) if is_large(call) else reading()
        _tell_apart(read, wanted)
        receipts = read.message.receipt
        if receipts:
            wanted |= {FINISH}
            if call.outputs and FINISH not in call.outputs:
                raise InvalidRequest(read.fields["receipt"], f"is true; allowed with the output {FINISH}, which has it")
        recording = CallRecording.begin(self._recorder, read.message)
        try:
            generation = await timely(read.message.chat, lambda: convert.generation_call(read.message))
            answer = Answer(wanted, generation.n, read.prefix, receipts=receipts)
            async with aclosing(self._service.generate(generation, of_request(read.message, context))) as parts:
                async for part in parts:
                    answer.take(part)
                    if recording is not None:
                        recording.passes(convert.generate_response(part))
                    if read.stream or answer.finished:
                        yield InferAnswer(answer.tensors(), last=answer.finished)
        except AttendantError as error:
            raise read.named(error) from error.__cause__
        if recording is not None:
            recording.ended()


def _tell_apart(read: asked.Asked, wanted: Collection[str]) -> None:
    """Have reasoning and tool calls told apart from the text of a chat's answer if their outputs are asked for, and not
    otherwise: they are in the text then.

    Raises:
        InvalidRequest: they are to be told apart, and nobody would see them.
    """
    message, seen = read.message, REASONING in wanted or TOOL_CALLS in wanted
    if message.separate and not seen:
        outputs = f"{REASONING}, {TOOL_CALLS}"
        raise InvalidRequest(read.fields["separate"], f"is true; allowed with one of the outputs {outputs}")
    if message.HasField("chat") and not message.HasField("separate"):
        message.separate = seen
