"""``attendant health``: whether a server serves, told by its exit code, for health checks of containers."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from attendant.client.connection import CallFailed, access_of
from attendant.client.request import add_server_arguments

PATIENCE_S = 4.0
"""Seconds, where nothing else is said: health checks have five as a rule."""


def add_health_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant health``."""
    parser.add_argument(
        "service", metavar="SERVICE", nargs="?", default="", help="a service or a model (default: the whole server)"
    )
    add_server_arguments(parser)


def health(args: Namespace) -> int:
    """Print what the server says of itself. Returns 0 if it serves, else 1."""
    timeout = PATIENCE_S if args.timeout is None else args.timeout
    with access_of(args).channel(args.server, ()) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=args.service), timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise CallFailed(f"{args.server} has no service or model {args.service!r}") from None
            raise CallFailed(f"{args.server} did not answer within {timeout:g} s: {error.code().name}") from None
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
    return 0 if reply.status == health_pb2.HealthCheckResponse.SERVING else 1
