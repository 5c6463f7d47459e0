"""What a soak asks: calls of every kind, each with one answer that does not depend on who else is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import numpy as np
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc, generation_pb2, generation_pb2_grpc, speech_pb2
from attendant_proto.v1 import speech_pb2_grpc as speech_grpc
from attendant_proto.v1.generation_pb2 import BeamSearch, Chat, ChatMessage, Grammar, Sampling, Stopping, Tool

from tests.fuzz.files import seeds
from tests.models.repositories import DECODER, ENCODER
from tests.system.encoders import png

Answer = tuple[Any, ...]
TEXTS = ("Where is my order?", "I want my money back.", "Hello!", "Can I pay by card? " * 6, "My parcel is late, and")
SCHEMA = (
    '{"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": false}'
)


@dataclass(frozen=True)
class Question:
    """A call. ``kind``: what figures are by; ``ask``: takes metadata and its deadline in seconds, if it
    has any, and gives the answer."""

    kind: str
    ask: Callable[[tuple[tuple[str, str], ...], float | None], Awaitable[Answer]]


def questions(channel: grpc.aio.Channel, *, whisper: bool) -> list[Question]:
    """All of them. ``whisper``: there is a model of that name."""
    generation = generation_pb2_grpc.GenerationStub(channel)
    encoding = encoding_pb2_grpc.EncodingStub(channel)
    found = [Question(kind, _generated(generation, message)) for kind, message in _generating()]
    for text in TEXTS:
        inputs = [encoding_pb2.TextInput(text=text), encoding_pb2.TextInput(text="What a lovely film!")]
        for model in ("sentiment", ENCODER):
            request = encoding_pb2.ClassifyRequest(model=model, inputs=inputs)
            found.append(Question("encoder", _encoded(encoding.Classify, request)))
    for colour in ((250, 10, 10), (10, 10, 250)):
        images = encoding_pb2.ClassifyImageRequest(model="shapes", images=[png(colour, (32, 24))])
        found.append(Question("encoder", _encoded(encoding.ClassifyImage, images)))
    if whisper:
        speech: Any = speech_grpc.SpeechStub(channel)  # type: ignore[no-untyped-call]
        for seconds in (0.5, 2.0):
            found.append(Question("whisper", _heard(speech, seconds)))
        options = speech_pb2.SpeechOptions(model="whisper")
        found.append(
            Question("whisper", _transcribed(speech, speech_pb2.SpeechRequest(options=options, file=seeds()[0])))
        )
    return found


def _generating() -> list[tuple[str, generation_pb2.GenerateRequest]]:
    """Lengths, seeds, beams, schemas, tools, several answers at once; of the demo model and of one whose version
    changes; and translations."""
    ask = generation_pb2.GenerateRequest
    found: list[tuple[str, generation_pb2.GenerateRequest]] = []
    for number, text in enumerate(TEXTS):
        for model in ("demo", DECODER):
            stopping = Stopping(max_tokens=(4, 16, 40, 90, 24)[number], ignore_eos=True)
            found.append(("generator", ask(model=model, text=text, stopping=stopping)))
            drawn = Sampling(temperature=1.0, top_p=0.9, seed=number)
            found.append(("generator", ask(model=model, text=text, stopping=stopping, sampling=drawn, logprobs=2)))
        few = Stopping(max_tokens=12)
        found.append(("beams", ask(model="demo", text=text, stopping=few, beam_search=BeamSearch(num_beams=3))))
        beams = BeamSearch(num_beams=2 + number % 2)
        said = "The train to Lyon leaves at half past three."
        found.append(("translator", ask(model="translator", text=said, n=1 + number % 2, beam_search=beams)))
    greedy = Sampling(temperature=0.0)
    found.append(("schema", ask(model="demo", text="a", grammar=Grammar(json_schema=SCHEMA), sampling=greedy)))
    found.append(("schema", ask(model="demo", text="b", grammar=Grammar(regex="[a-c]{3,9}"), sampling=greedy)))
    tools = [Tool(name="find", parameters=SCHEMA)]
    chat = Chat(messages=[ChatMessage(role="user", content="Where is it?")], tools=tools)
    found.append(("tools", ask(model="tools", chat=chat, stopping=Stopping(max_tokens=30), sampling=greedy)))
    several = Sampling(temperature=0.8, seed=7)
    found.append(
        ("generator", ask(model="demo", text="Hello", n=3, sampling=several, stopping=Stopping(max_tokens=20)))
    )
    return found


def _generated(stub: Any, request: generation_pb2.GenerateRequest) -> Callable[..., Awaitable[Answer]]:
    async def ask(metadata: tuple[tuple[str, str], ...], seconds: float | None) -> Answer:
        tokens: dict[int, list[int]] = {}
        texts: dict[int, str] = {}
        numbers: dict[int, list[float]] = {}
        ends: dict[int, int] = {}
        async for part in stub.Generate(request, metadata=metadata, timeout=seconds):
            tokens.setdefault(part.index, []).extend(part.token_ids)
            texts[part.index] = texts.get(part.index, "") + part.text
            numbers.setdefault(part.index, []).extend(each.logprob for each in part.logprobs)
            if part.HasField("finish"):
                ends[part.index] = part.finish.reason
        return tuple((n, tuple(tokens[n]), texts[n], tuple(numbers[n]), ends.get(n)) for n in sorted(tokens))

    return ask


def _encoded(call: Any, request: Any) -> Callable[..., Awaitable[Answer]]:
    async def ask(metadata: tuple[tuple[str, str], ...], seconds: float | None) -> Answer:
        answer = await call(request, metadata=metadata, timeout=seconds)
        return tuple((label.label, label.score) for result in answer.results for label in result.labels)

    return ask


def _heard(speech: Any, seconds_of_sound: float) -> Callable[..., Awaitable[Answer]]:
    samples = (3000 * np.sin(np.arange(int(16_000 * seconds_of_sound)) / 9)).astype("<i2").tobytes()
    raw = speech_pb2.RawAudio(pcm16=samples, sampling_rate=16_000)
    return _transcribed(speech, speech_pb2.SpeechRequest(options=speech_pb2.SpeechOptions(model="whisper"), raw=raw))


def _transcribed(speech: Any, request: speech_pb2.SpeechRequest) -> Callable[..., Awaitable[Answer]]:
    async def ask(metadata: tuple[tuple[str, str], ...], seconds: float | None) -> Answer:
        answer = await speech.Transcribe(request, metadata=metadata, timeout=seconds)
        return (answer.text, *((segment.text, tuple(segment.token_ids)) for segment in answer.segments))

    return ask
