"""``python -m attendant_loadtest.sweep``."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

import grpc.aio
from attendant_proto.v1 import models_pb2, models_pb2_grpc

from attendant_loadtest.bench.arguments import numbers, some_of
from attendant_loadtest.sweep.callers import ENCODES, PROTOCOLS, Caller, Unfit, encoder, generator
from attendant_loadtest.sweep.table import table
from attendant_loadtest.sweep.windows import Figures, measure
from attendant_loadtest.workloads import WORDS

NUM_TEXTS = 256


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error."""
    args = _parser().parse_args(argv)
    try:
        found = asyncio.run(_sweep(args))
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    except Unfit as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(found))
    if args.out:
        rows = [{"protocol": protocol, **asdict(each)} for protocol, each in found]
        args.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


async def _sweep(args: argparse.Namespace) -> list[tuple[str, Figures]]:
    """Figures by protocol; at each concurrency the protocols take turns, so that none has the better hour."""
    found: list[tuple[str, Figures]] = []
    async with grpc.aio.insecure_channel(args.address) as channel:
        models = models_pb2_grpc.ModelsStub(channel)  # type: ignore[no-untyped-call]
        model = await models.GetModel(models_pb2.GetModelRequest(model=args.model))
        callers = [(protocol, _caller(protocol, channel, model, args)) for protocol in args.protocols]
        for concurrency in args.concurrency:
            for protocol, caller in callers:
                figures = await measure(caller, concurrency, args.window, args.most_windows, args.tolerance)
                print(f"{protocol}, {concurrency} at a time: {figures.per_s:.1f} calls/s", file=sys.stderr)
                found.append((protocol, figures))
    return found


def _caller(protocol: str, channel: grpc.aio.Channel, model: models_pb2.Model, args: argparse.Namespace) -> Caller:
    rng = random.Random(args.seed)
    texts = [" ".join(rng.choices(WORDS, k=args.words)) for _ in range(NUM_TEXTS)]
    if "generate" in model.capabilities:
        return generator(protocol, channel, model.name, args.max_tokens, texts)
    task = next((task for task in ENCODES if task in model.capabilities), None)
    if task is None:
        can = ", ".join(model.capabilities)
        raise Unfit(f"{model.name} can {can}; a sweep takes models that can generate, {' or '.join(ENCODES)}")
    return encoder(protocol, channel, model.name, task, texts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.sweep",
        description="Calls a second and their times at several concurrencies, over attendant.v1 and the Open Inference "
        "Protocol, against a server that runs: one text a call for an encoder, one stream a call for a generator.",
    )
    add = parser.add_argument
    add("address", help="of the server, HOST:PORT")
    add("model", nargs="?", default="", help="its name (default: the only one)")
    add(
        "--protocols",
        type=some_of(PROTOCOLS),
        default=PROTOCOLS,
        help=f"of {', '.join(PROTOCOLS)}, with commas between them (default: all, in turn)",
    )
    add("--concurrency", type=numbers, default=(1, 2, 4, 8, 16), help="calls at a time (default: 1,2,4,8,16)")
    add("--window", type=float, default=2.0, help="seconds of a window (default: 2)")
    add("--most-windows", type=int, default=10, help="to wait for three that are alike (default: 10)")
    add("--tolerance", type=float, default=0.1, help="share by which windows that are alike differ (default: 0.1)")
    add("--words", type=int, default=16, help="words of each text (default: 16)")
    add("--max-tokens", type=int, default=32, help="tokens of each stream (default: 32)")
    add("--seed", type=int, default=1, help="of the texts (default: 1)")
    add("--out", type=Path, help="write all figures to this JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
