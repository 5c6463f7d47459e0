"""yagrc, a client without any contract: it has the server describe its services, and then calls them."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from loop import answer
from yagrc import reflector


def call(address: str, service: str, method: str, request: str, metadata: list[Any], **fields: Any) -> dict[str, Any]:
    """What a method answers to the message of type ``request``."""
    found = reflector.GrpcReflectionClient()
    with grpc.insecure_channel(address) as channel:
        found.load_protocols(channel, symbols=[service])
        stub = found.service_stub_class(service)(channel)
        message = found.message_class(request)(**fields)
        return MessageToDict(getattr(stub, method)(message, metadata=[tuple(pair) for pair in metadata]))


def services(address: str) -> list[str]:
    """The names of all services, each of which was described."""
    found = reflector.GrpcReflectionClient()
    with grpc.insecure_channel(address) as channel:
        names = list(reflector.list_services(channel))
        for name in names:
            found.load_protocols(channel, symbols=[name])
            assert found.service_stub_class(name) is not None
    return sorted(names)


if __name__ == "__main__":
    answer({"call": call, "services": services})
