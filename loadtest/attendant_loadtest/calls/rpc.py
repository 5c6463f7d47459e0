"""A call over gRPC, made from its descriptor: whatever streams, and whichever contract it is of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from attendant.client.access import Access
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc.experimental.gevent import init_gevent

from attendant_loadtest.calls.outcome import Failure, Outcome, watching
from attendant_loadtest.calls.subject import Subject
from attendant_loadtest.client import CallFailed

Asked = Message | Sequence[Message]


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call of a contract.

    Attributes:
        method: full name of the service, a slash, the method's name.
        asked: makes the request, or the requests of a stream.
        needs: see :meth:`Models.able`.
        note: tells it from other calls of the same method.
        metadata: whether the model is named there, by the key ``model``.
        most: so many responses are read, then the call is cancelled; 0: all.
        refusal: what of a response says that it is an error, in a word; "" if it is none.
        answers: a response for each request is an answer, fewer are none.
    """

    method: str
    asked: Callable[[Subject], Asked]
    needs: str = ""
    note: str = ""
    metadata: bool = False
    most: int = 0
    refusal: Callable[[Any], str] = lambda response: ""
    answers: bool = False

    @property
    def name(self) -> str:
        """In statistics."""
        service, _, method = self.method.partition("/")
        return f"{service.rpartition('.')[2]}/{method}" + (f" ({self.note})" if self.note else "")


class Connection:
    """A connection of its own to a server's gRPC (host:port). ``access``: what is shown to it."""

    def __init__(self, address: str, access: Access) -> None:
        init_gevent()  # gRPC's waits give way to other greenlets; once done, it does nothing
        self._channel = access.channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self._methods: dict[str, tuple[Any, bool]] = {}

    def call(self, rpc: Rpc, subject: Subject, timeout_s: float | None) -> Outcome:
        """Make a call, and read its answer to the end."""
        method, in_parts = self._methods.get(rpc.method) or self._method(rpc.method)
        asked = rpc.asked(subject)
        metadata = (("model", subject.model),) if rpc.metadata else ()
        wanted = len(asked) if rpc.answers and not isinstance(asked, Message) else 1
        with watching() as watch:
            try:
                answer = method(
                    asked if isinstance(asked, Message) else iter(asked), timeout=timeout_s, metadata=metadata
                )
                for response in _first(answer, rpc.most) if in_parts else [answer]:
                    wanted -= 1
                    (watch.part if in_parts else watch.read)(response.ByteSize())
                    if refusal := rpc.refusal(response):
                        raise Failure(refusal, str(response))
            except grpc.RpcError as error:
                failed = CallFailed(error)
                raise Failure(str(failed), failed.details, failed.retry_after_s) from None
            if wanted > 0:
                raise Failure("answers are missing")
        return watch.outcome

    def _method(self, name: str) -> tuple[Any, bool]:
        """What makes calls of a method, and whether it answers in parts."""
        service, _, short = name.partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[short]
        kind = f"{_way(method.client_streaming)}_{_way(method.server_streaming)}"
        call = getattr(self._channel, kind)(
            f"/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        self._methods[name] = call, method.server_streaming
        return self._methods[name]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


def _way(streams: bool) -> str:
    return "stream" if streams else "unary"


def _first(stream: Any, most: int) -> Iterator[Any]:
    for number, response in enumerate(stream, 1):
        yield response
        if number == most:
            stream.cancel()
            return
