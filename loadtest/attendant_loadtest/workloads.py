"""What users ask: requests of a wanted shape, different each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

_WORDS = (
    "please where order parcel refund delivery invoice account address payment card change cancel return late broken "
    "missing wrong size colour blue red small large today tomorrow week again help thank you my the a this that is "
    "was has not been yet still could would when how why what which"
)
WORDS = tuple(_WORDS.split())


@dataclass(frozen=True, slots=True)
class Shape:
    """``kind``: chat, text or token_ids. ``prompt_tokens``: exact for token_ids, about one word each for the others.
    ``ignore_eos``: every answer has exactly ``max_tokens``."""

    kind: str
    prompt_tokens: int
    max_tokens: int
    ignore_eos: bool


def make_request(shape: Shape, model: models_pb2.Model, rng: random.Random) -> pb.GenerateRequest:
    """A request to ``model`` with a prompt that has not been there before."""
    request = pb.GenerateRequest(
        model=model.name, stopping=pb.Stopping(max_tokens=shape.max_tokens, ignore_eos=shape.ignore_eos)
    )
    _PROMPTS[shape.kind](request, shape.prompt_tokens, model, rng)
    return request


def _chat(request: pb.GenerateRequest, length: int, model: models_pb2.Model, rng: random.Random) -> None:
    request.chat.messages.add(role="user", content=_words(length, rng))


def _text(request: pb.GenerateRequest, length: int, model: models_pb2.Model, rng: random.Random) -> None:
    request.text = _words(length, rng)


def _token_ids(request: pb.GenerateRequest, length: int, model: models_pb2.Model, rng: random.Random) -> None:
    request.token_ids.ids.extend(rng.choices(range(model.generation.vocab_size), k=length))


def _words(length: int, rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=length))


_PROMPTS: dict[str, Callable[[pb.GenerateRequest, int, models_pb2.Model, random.Random], None]] = {
    "chat": _chat,
    "text": _text,
    "token_ids": _token_ids,
}

KINDS = tuple(_PROMPTS)
