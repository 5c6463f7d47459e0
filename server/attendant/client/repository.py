"""``attendant load``, ``attendant unload`` and ``attendant models --index``."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence

from attendant_proto.v1 import models_pb2 as pb
from google.protobuf.json_format import MessageToDict

from attendant.client.connection import Connection
from attendant.client.request import add_server_arguments

_TITLES = ("NAME", "VERSION", "STATE", "CURRENT", "CAUSE")


def add_load_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant load``."""
    parser.add_argument(
        "model",
        metavar="NAME[@VERSION]",
        help="a model of the server's repository; without a version those that its policy says",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list of the versions")
    add_server_arguments(parser)


def add_unload_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant unload``."""
    parser.add_argument("model", metavar="NAME[@VERSION]", help="a model; without a version all that are loaded")
    parser.add_argument(
        "--drain-timeout",
        metavar="S",
        type=float,
        help="seconds that its calls may go on; as the server has it for its end, if left out",
    )
    add_server_arguments(parser)


def load(args: Namespace) -> int:
    """Have a model served, and show its versions."""
    with Connection.of(args) as connection:
        answer: pb.LoadResponse = connection.change(pb.LoadRequest(model=args.model))
    _show(answer.versions, as_json=args.json)
    return 0


def unload(args: Namespace) -> int:
    """Take a model out of service."""
    with Connection.of(args) as connection:
        connection.change(pb.UnloadRequest(model=args.model, drain_timeout_s=args.drain_timeout))
    print(f"{args.model} is unloaded")
    return 0


def show_index(connection: Connection, *, as_json: bool) -> None:
    """Every version that the server or its repository has."""
    answer: pb.IndexResponse = connection.change(pb.IndexRequest())
    _show(answer.versions, as_json=as_json)


COMMANDS: Mapping[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "load": (add_load_arguments, load),
    "unload": (add_unload_arguments, unload),
}


def index_table(versions: Sequence[pb.ModelVersion]) -> Iterator[str]:
    """A line for each version, under a line of titles."""
    rows = [_TITLES, *map(_row, versions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(version: pb.ModelVersion) -> tuple[str, ...]:
    state = pb.ModelState.Name(version.state).removeprefix("MODEL_STATE_").lower()
    return version.model, version.version, state, "yes" if version.current else "no", version.cause


def _show(versions: Sequence[pb.ModelVersion], *, as_json: bool) -> None:
    if as_json:
        told = [
            MessageToDict(each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for each in versions
        ]
        print(json.dumps(told, ensure_ascii=False))
        return
    for line in index_table(versions):
        print(line)
