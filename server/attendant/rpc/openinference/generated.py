"""An answer of a model that generates as tensors, with the names that Triton's vLLM backend gives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToJson

from attendant.core.chat import ToolCallDelta
from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta, Finish, GenerationPart, unspelled
from attendant.rpc.convert import generate_response
from attendant.rpc.openinference.contents import objects
from attendant.rpc.openinference.ports import Tensor, TensorSpec

TEXT, LOGPROBS, CUMULATIVE, FINISH = "text_output", "logprobs", "cumulative_logprob", "finish"
REASONING, TOOL_CALLS = "reasoning", "tool_calls"

OUTPUTS = (
    TensorSpec(TEXT, "BYTES", (-1,)),
    TensorSpec("finish_reason", "BYTES", (-1,)),
    TensorSpec(CUMULATIVE, "FP32", (-1,)),
    TensorSpec(LOGPROBS, "BYTES", (-1,)),
    TensorSpec("num_input_tokens", "UINT32", (1,)),
    TensorSpec("num_output_tokens", "UINT32", (-1,)),
    TensorSpec("token_ids", "INT64", (-1,)),
    TensorSpec(FINISH, "BYTES", (-1,)),
    TensorSpec(REASONING, "BYTES", (-1,)),
    TensorSpec(TOOL_CALLS, "BYTES", (-1,)),
)
"""Of [n] each, an element for each sequence, but for ``num_input_tokens`` and ``token_ids``."""

ON_REQUEST = tuple(spec.name for spec in OUTPUTS[1:])
"""Those that a request has to ask for."""


@dataclass(slots=True)
class _Sequence:
    """One sequence: what came since the last response, and what holds for all of it."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, ToolCallDelta] = field(default_factory=dict)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    cumulative: float = 0.0
    finish: Finish | None = None


class Answer:
    """What came of an answer, as tensors.

    Args:
        wanted: outputs of :data:`ON_REQUEST` that are asked for.
        num_sequences: of the call.
        prefix: stands before each text.
        receipts: they are asked for; where they are there and not, they are left out.
    """

    def __init__(
        self, wanted: Collection[str], num_sequences: int, prefix: str = "", *, receipts: bool = False
    ) -> None:
        self._makers = [_MAKERS[name] for name in ON_REQUEST if name in wanted]
        self._prefix = prefix
        self._receipts = receipts
        self._sequences = [_Sequence() for _ in range(num_sequences)]
        self._num_finished = 0
        self._spell: Callable[[int], str] = unspelled
        self._prompt_tokens = 0

    @property
    def finished(self) -> bool:
        """Whether every sequence has ended."""
        return self._num_finished == len(self._sequences)

    def take(self, part: GenerationPart) -> None:
        """Take a part in."""
        sequence = self._sequences[part.index]
        match part:
            case Delta():
                sequence.text.append(part.text)
                sequence.reasoning.append(part.reasoning)
                for call in part.tool_calls:
                    before = sequence.calls.get(call.index)
                    sequence.calls[call.index] = call if before is None else _joined(before, call)
                sequence.token_ids += part.token_ids
                sequence.logprobs += part.logprobs
                sequence.cumulative += sum([entry.logprob for entry in part.logprobs])
                self._prompt_tokens, self._spell = part.prompt_tokens, part.spell
            case Finish():
                sequence.finish = part if self._receipts else replace(part, receipt=None)
                self._num_finished += 1
                self._prompt_tokens = part.usage.prompt_tokens

    def tensors(self) -> list[Tensor]:
        """The tensors of what came since the last time."""
        sequences = self._sequences
        texts = [(self._prefix + "".join(sequence.text)).encode() for sequence in sequences]
        found = [Tensor(TEXT, "BYTES", objects(texts))]
        found += [make(self) for make in self._makers]
        for sequence in sequences:
            sequence.text, sequence.token_ids, sequence.logprobs = [], [], []
            sequence.reasoning, sequence.calls = [], {}
        return found

    def finish_reasons(self) -> Tensor:
        """Why each sequence has ended; ``None`` as text, as in Triton's vLLM backend, of one that has not."""
        ends = [sequence.finish for sequence in self._sequences]
        return Tensor("finish_reason", "BYTES", objects([b"None" if e is None else e.reason.encode() for e in ends]))

    def cumulative_logprobs(self) -> Tensor:
        """The log-probability of each sequence so far: the sum of those of its tokens."""
        return Tensor(CUMULATIVE, "FP32", np.array([each.cumulative for each in self._sequences], np.float32))

    def logprobs(self) -> Tensor:
        """For each sequence a JSON: for each token its alternatives by their id, itself first."""
        words = [[_alternatives(entry, self._spell) for entry in each.logprobs] for each in self._sequences]
        return Tensor(LOGPROBS, "BYTES", objects([json.dumps(each).encode() for each in words]))

    def num_input_tokens(self) -> Tensor:
        """Of the prompt; of a source, too."""
        return Tensor("num_input_tokens", "UINT32", np.array([self._prompt_tokens], np.uint32))

    def num_output_tokens(self) -> Tensor:
        """New ones of each sequence."""
        return Tensor(
            "num_output_tokens", "UINT32", np.array([len(each.token_ids) for each in self._sequences], np.uint32)
        )

    def token_ids(self) -> Tensor:
        """New ones, one sequence after the other; ``num_output_tokens`` says how many are each one's."""
        return Tensor(
            "token_ids", "INT64", np.array([token for each in self._sequences for token in each.token_ids], np.int64)
        )

    def finishes(self) -> Tensor:
        """For each sequence that has ended attendant.v1's Finish as JSON; ``null`` of another one."""
        ends = [each.finish for each in self._sequences]
        return Tensor(FINISH, "BYTES", objects([b"null" if end is None else _finish(end) for end in ends]))

    def reasonings(self) -> Tensor:
        """What each sequence thought, new of it."""
        return Tensor(REASONING, "BYTES", objects(["".join(each.reasoning).encode() for each in self._sequences]))

    def tool_calls(self) -> Tensor:
        """For each sequence a JSON: new pieces of its tool calls, as attendant.v1 has them, each call once."""
        calls = [[_call(each.calls[index]) for index in sorted(each.calls)] for each in self._sequences]
        return Tensor(TOOL_CALLS, "BYTES", objects([json.dumps(each).encode() for each in calls]))


_MAKERS: dict[str, Callable[[Answer], Tensor]] = {
    "finish_reason": Answer.finish_reasons,
    CUMULATIVE: Answer.cumulative_logprobs,
    LOGPROBS: Answer.logprobs,
    "num_input_tokens": Answer.num_input_tokens,
    "num_output_tokens": Answer.num_output_tokens,
    "token_ids": Answer.token_ids,
    FINISH: Answer.finishes,
    REASONING: Answer.reasonings,
    TOOL_CALLS: Answer.tool_calls,
}


def as_json(message: Any) -> bytes:
    """A message of protobuf as JSON, with the names that its .proto file has."""
    return MessageToJson(message, preserving_proto_field_name=True, indent=None).encode()


def _finish(finish: Finish) -> bytes:
    return as_json(generate_response(finish).finish)


def _joined(first: ToolCallDelta, then: ToolCallDelta) -> ToolCallDelta:
    return replace(first, arguments=first.arguments + then.arguments)


def _call(call: ToolCallDelta) -> dict[str, Any]:
    return {"index": call.index, "id": call.id, "name": call.name, "arguments": call.arguments}


def _alternatives(entry: TokenLogprob, spell: Callable[[int], str]) -> dict[int, dict[str, Any]]:
    ranks = {token: rank for rank, (token, _) in enumerate(entry.top, 1)}
    found = {entry.token_id: entry.logprob} | dict(entry.top)
    return {
        token: {"logprob": logprob, "rank": ranks.get(token), "decoded_token": spell(token)}
        for token, logprob in found.items()
    }
