"""Random calls over gRPC to a real server, and what is wrong with how they end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from tests.fuzz.messages import Messages
from tests.fuzz.surface import METHODS

HANGS_S = 10.0
MOST_ANSWERS = 40
"""Of a stream, before its caller hangs up."""
NOT_OURS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""Statuses that no message may bring about in a server that is well; the last is a call that hangs."""
VLLM = "vllm.grpc.engine."
ENDLESS = frozenset({"grpc.health.v1.Health.Watch", "xds.service.orca.v3.OpenRcaService.StreamCoreMetrics"})
"""Streams that only their caller ends."""
GRPCS_OWN = "/grpc."
"""Services that gRPC brings. They tell no reasons."""


@dataclass(frozen=True)
class Call:
    """What is sent. ``sent``: messages as bytes, several where the method takes a stream."""

    method: MethodDescriptor
    sent: tuple[bytes, ...]
    metadata: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        service: Any = self.method.containing_service
        return f"/{service.full_name}/{self.method.name}"

    def __str__(self) -> str:
        kind = message_factory.GetMessageClass(self.method.input_type)
        told = []
        for data in self.sent:
            try:
                told.append(str(kind.FromString(data))[:1500])
            except Exception:  # noqa: BLE001 - what protobuf raises depends on what it is made in
                told.append(repr(data[:300]))
        return f"{self.path} {dict(self.metadata)}\n" + "\n--\n".join(told)


WEIGHTS = tuple(min(8, 1 + len(method.input_type.fields) // 2) for method in METHODS)
"""How often a method is asked: more often where there is more to say."""


def draw(chance: random.Random, models: Sequence[str]) -> Call:
    """One call of any method of any service."""
    method = chance.choices(METHODS, WEIGHTS)[0]
    messages = Messages(chance, models)
    count = chance.choice((0, 1, 2, 5)) if method.client_streaming else 1
    sent = tuple(messages.serialized(method.input_type) for _ in range(count))
    return Call(method, sent, tuple(messages.metadata(method.input_type)))


class Asker:
    """Asks one server.

    Args:
        main: its port with every service. single: of its ports with one model each, for gateways; by model.
    """

    def __init__(self, main: str, single: Mapping[str, str], hangs_s: float = HANGS_S) -> None:
        self.ends: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._main = grpc.insecure_channel(main, options)
        self._single = [grpc.insecure_channel(address, options) for address in single.values()]
        self._hangs_s = hangs_s

    def close(self) -> None:
        """Let go of the connections."""
        for channel in (self._main, *self._single):
            channel.close()

    def ask(self, call: Call, lock: Lock) -> str:
        """What is wrong with how a call ended; empty for nothing. ``lock``: held while it is counted."""
        status, why = self._ended(call)
        with lock:
            self.ends[status] += 1
            self.asked[call.path] += 1
        wrong = ""
        if status in NOT_OURS:
            wrong = f"{status}: {why}"
        elif status != "OK" and not why and not call.path.startswith(GRPCS_OWN):
            wrong = f"{status} without a word"
        return wrong and f"{wrong}\n{call}"

    def _ended(self, call: Call) -> tuple[str, str]:
        method: Any = call.method
        name = f"{method.containing_service.full_name}.{method.name}"
        channel = self._single[len(call.sent[0]) % len(self._single)] if name.startswith(VLLM) else self._main
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        answer = message_factory.GetMessageClass(method.output_type).FromString
        ask = getattr(channel, kind)(call.path, lambda data: data, answer)
        try:
            sent: Any = iter(call.sent) if method.client_streaming else call.sent[0]
            found = ask(sent, metadata=call.metadata, timeout=self._hangs_s)
            if method.server_streaming:
                self._read(found, 1 if name in ENDLESS else MOST_ANSWERS)
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
        return "OK", ""

    @staticmethod
    def _read(stream: Any, most: int) -> None:
        answers: Iterator[Any] = iter(stream)
        for _ in range(most):
            if next(answers, None) is None:
                return
        stream.cancel()
