"""What the clients' tests ask in attendant.v1's words: an answer over HTTP is the same one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from tests.system.server import HANGS_S, ServerProcess

QUESTION = "Where is my order 48213?"


@dataclass
class Answer:
    """An answer: texts by index, log-probabilities and tokens of all, and how the last one ended."""

    texts: dict[int, str] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0


def answer_of(
    server: ServerProcess, question: str = QUESTION, *, max_tokens: int = 24, raw: bool = False, **fields: Any
) -> Answer:
    """The demo model's greedy answer to a question, as a chat, or ``raw``: as a text that it continues.

    Args:
        fields: of the request. ``temperature`` and ``seed``, ``stop``: of its parts.
    """
    asked = {"text": question} if raw else {"chat": pb.Chat(messages=[pb.ChatMessage(role="user", content=question)])}
    sampling = pb.Sampling(temperature=fields.pop("temperature", 0.0), seed=fields.pop("seed", 0))
    stopping = pb.Stopping(max_tokens=max_tokens, stop=fields.pop("stop", ()))
    request = pb.GenerateRequest(model="demo", sampling=sampling, stopping=stopping, **asked, **fields)
    found = Answer()
    for response in server.generation.Generate(request, timeout=HANGS_S):
        found.texts[response.index] = found.texts.get(response.index, "") + response.text
        found.logprobs += [entry.logprob for entry in response.logprobs]
        found.tokens += [entry.text for entry in response.logprobs]
        if response.HasField("finish"):
            found.prompt_tokens = response.finish.usage.prompt_tokens
            found.completion_tokens += response.finish.usage.completion_tokens
    return found
