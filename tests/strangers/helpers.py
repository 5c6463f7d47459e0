"""What the strangers' tests ask in attendant.v1's words: an answer over another protocol is the same one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant_proto.v1 import encoding_pb2 as encoding
from attendant_proto.v1 import encoding_pb2_grpc
from attendant_proto.v1 import generation_pb2 as pb

from tests.system.server import HANGS_S, ServerProcess

TEXTS = ("a lovely film", "boring from the first minute to the last, and far too long")


def of_bytes(*texts: str | bytes) -> npt.NDArray[np.object_]:
    """A tensor of BYTES [n]."""
    return np.array([text.encode() if isinstance(text, str) else text for text in texts], object)


def encoders(server: ServerProcess) -> Any:
    """The stub of attendant.v1.Encoding."""
    return encoding_pb2_grpc.EncodingStub(server.channel)


def labels_of(server: ServerProcess, model: str, *texts: str) -> list[list[tuple[str, float]]]:
    """Labels and scores of texts, best first."""
    inputs = [encoding.TextInput(text=text) for text in texts]
    found = encoders(server).Classify(encoding.ClassifyRequest(model=model, inputs=inputs), timeout=HANGS_S)
    return [[(each.label, each.score) for each in result.labels] for result in found.results]


def answer_of(server: ServerProcess, model: str, text: str = "", max_tokens: int = 16, **fields: Any) -> str:
    """The text of a greedy answer. ``fields``: of the request, such as its chat."""
    request = pb.GenerateRequest(
        model=model,
        sampling=pb.Sampling(temperature=0),
        stopping=pb.Stopping(max_tokens=max_tokens),
        **(fields or {"text": text}),
    )
    return "".join(part.text for part in server.generation.Generate(request, timeout=HANGS_S))


def greedy(max_tokens: int = 16, **more: Any) -> npt.NDArray[np.object_]:
    """The input ``sampling_parameters`` of a greedy answer."""
    return of_bytes(json.dumps({"temperature": 0, "max_tokens": max_tokens, **more}))


def text_of(answers: Iterable[dict[str, Any]]) -> str:
    """The texts of answers that came one after another."""
    return "".join(answer["outputs"]["text_output"].item().decode() for answer in answers if answer["outputs"])
