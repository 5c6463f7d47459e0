"""How probable a model holds an answer that is given: the tokens and their log-probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from attendant.client.connection import Connection


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """One token of the answer, and the natural logarithm of its probability after all before it."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Score:
    """An answer's tokens, in order, at least one."""

    tokens: tuple[ScoredToken, ...]

    @classmethod
    def of(cls, connection: Connection, request: pb.GenerateRequest, answer: str | Sequence[int]) -> Score:
        """Ask for an answer, text or token ids, to the request's prompt. Text is made tokens on its own: an answer that
        begins within a word of the prompt, or with its space, has to say so.

        Raises:
            CallFailed: the server refused it, or failed.
        """
        ids = _within(connection, request.model, answer) if isinstance(answer, str) else answer
        asked = pb.GenerateRequest()
        asked.CopyFrom(request)
        asked.forced_answer.CopyFrom(pb.TokenIds(ids=ids))
        asked.logprobs, asked.whole, asked.stopping.ignore_eos = 0, True, True
        entries = [entry for response in connection.generate(asked) for entry in response.logprobs]
        return cls(tuple([ScoredToken(entry.token_id, entry.text, entry.logprob) for entry in entries]))

    @property
    def logprob(self) -> float:
        """Natural logarithm of the whole answer's probability."""
        return sum(token.logprob for token in self.tokens)

    @property
    def perplexity(self) -> float:
        """Among so many tokens the model chose, in the mean: e to the negative mean of their log-probabilities."""
        return math.exp(-self.logprob / len(self.tokens))

    def lines(self) -> Iterator[str]:
        """A line for each token, and one for all."""
        for token in self.tokens:
            yield f"{token.logprob:9.4f}  {json.dumps(token.text, ensure_ascii=False)}"
        yield f"{self.logprob:9.4f}  {len(self.tokens)} tokens, perplexity {self.perplexity:.3f}"

    def dictionary(self) -> dict[str, object]:
        """For JSON."""
        tokens = [{"id": token.id, "text": token.text, "logprob": token.logprob} for token in self.tokens]
        return {"tokens": tokens, "logprob": self.logprob, "perplexity": self.perplexity}


def _within(connection: Connection, model: str, text: str) -> Sequence[int]:
    """Tokens of a text as it stands within another, without the tokenizer's own special ones."""
    return connection.tokenize(models_pb2.TokenizeRequest(model=model, text=text, no_special_tokens=True)).token_ids
