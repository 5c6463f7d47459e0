"""``python -m attendant_loadtest.fairness``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc.aio
from attendant_proto.v1 import models_pb2, models_pb2_grpc

from attendant_loadtest.bench.arguments import end_on_sigterm
from attendant_loadtest.bench.processes import Answering, Ended, answering
from attendant_loadtest.fairness.clients import OWN_CONNECTION, Asking, Client, texts_of
from attendant_loadtest.fairness.figures import Figures, Waits


def main(argv: list[str] | None = None) -> int:
    """Measure, print the figures, and return the exit code: 0, or 1 with the cause on standard error."""
    end_on_sigterm()
    args = _parser().parse_args(argv)
    try:
        found = asyncio.run(_measure(args))
    except (grpc.RpcError, Ended, BaseExceptionGroup) as error:
        first = _first(error)
        if isinstance(first, Ended):
            print("error: the heavy client ended early; its error is above", file=sys.stderr)
            return 1
        if not isinstance(first, grpc.RpcError):
            raise
        print(f"error: {first.code().name}: {first.details()}", file=sys.stderr)
        return 1
    print(found.told())
    if args.out:
        args.out.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return 0


async def _measure(args: argparse.Namespace) -> Figures:
    light = [Client(f"light-{number}") for number in range(args.light)]
    async with grpc.aio.insecure_channel(args.address, OWN_CONNECTION) as channel:
        models = models_pb2_grpc.ModelsStub(channel)  # type: ignore[no-untyped-call]
        model = await models.GetModel(models_pb2.GetModelRequest(model=args.model))
        asking = Asking(channel, model.name, texts_of(args.words, args.seed), args.max_tokens)
        part = _Part(light, args.warm_up, args.seconds)

        def paced() -> list[Coroutine[Any, Any, None]]:
            return [asking.paced(client, args.rate, seed) for seed, client in enumerate(light)]

        _, cores = await part.run(paced())
        alone = Waits.of([first for client in light for first in client.first_tokens], cores, 0.0)
        with _heavy(args, model.name) as heavy:
            had, cores = await part.run(paced(), heavy)
            beside = Waits.of([first for client in light for first in client.first_tokens], cores, had / args.seconds)
            had, _ = await part.run([asking.always(client, args.at_a_time) for client in light], heavy)
    return Figures.of(alone, beside, [had, *(client.service for client in light)], args.seconds)


class _Part:
    """Has clients work for so long, and counts what they get after the first ``warm_up_s`` seconds of it."""

    def __init__(self, light: Sequence[Client], warm_up_s: float, seconds: float) -> None:
        self._light, self._warm_up_s, self._seconds = light, warm_up_s, seconds

    async def run(self, work: Sequence[Coroutine[Any, Any, None]], heavy: Answering | None = None) -> tuple[int, float]:
        """Returns what the heavy client got, and the processors that all clients used."""
        had, cores = 0, 0.0

        async def count() -> None:
            nonlocal had, cores
            await asyncio.sleep(self._warm_up_s)
            before, own_s = await _so_far(heavy), time.process_time()
            for client in self._light:
                client.forget()
            await asyncio.sleep(self._seconds)
            after = await _so_far(heavy)
            had = after["service"] - before["service"]
            used_s = time.process_time() - own_s + after["processor_s"] - before["processor_s"]
            cores = used_s / self._seconds
            raise _Over

        try:
            async with asyncio.TaskGroup() as tasks:
                for each in (*work, count()):
                    tasks.create_task(each)
        except* _Over:
            pass
        return had, cores


class _Over(Exception):
    """The part has been measured."""


async def _so_far(heavy: Answering | None) -> dict[str, Any]:
    """What the heavy client has got, if there is one."""
    if heavy is None:
        return {"service": 0, "processor_s": 0.0}
    return await asyncio.to_thread(heavy.ask, {})


@contextmanager
def _heavy(args: argparse.Namespace, model: str) -> Iterator[Answering]:
    """The heavy client at work."""
    numbers = {
        "--requests": args.requests,
        "--words": args.heavy_words or args.words,
        "--max-tokens": args.max_tokens,
        "--seed": args.seed + 1,
    }
    words = [word for name, number in numbers.items() for word in (name, str(number))]
    with answering([sys.executable, "-m", "attendant_loadtest.fairness.crowd", args.address, model, *words]) as heavy:
        yield heavy


def _first(error: BaseException) -> BaseException:
    """The error, or of a group the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.fairness",
        description="One client with very many requests, and some with few, of a model that generates, against a "
        "server that runs: how long first tokens of the others take beside it, and what each gets when all want more.",
    )
    add = parser.add_argument
    add("address", help="of the server, HOST:PORT")
    add("model", nargs="?", default="", help="its name (default: the only one)")
    add("--requests", type=int, default=1000, help="of the heavy client, at a time (default: 1000)")
    add("--light", type=int, default=9, help="other clients (default: 9)")
    add("--rate", type=float, default=0.2, help="requests a second of each, when they are paced (default: 0.2)")
    add("--at-a-time", type=int, default=4, help="requests of each, when they want more (default: 4)")
    add("--seconds", type=float, default=60.0, help="of each of the three parts (default: 60)")
    add("--warm-up", type=float, default=5.0, help="seconds of each part before those (default: 5)")
    add("--words", type=int, default=32, help="words of each prompt (default: 32)")
    add("--heavy-words", type=int, help="of each prompt of the heavy client (default: as --words)")
    add("--max-tokens", type=int, default=16, help="tokens of each answer (default: 16)")
    add("--seed", type=int, default=1, help="of the texts (default: 1)")
    add("--out", type=Path, help="write the figures to this JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
