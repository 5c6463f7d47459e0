"""``python -m attendant_loadtest.fairness``."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from attendant_proto.v1 import models_pb2, models_pb2_grpc

from attendant_loadtest.bench.arguments import end_on_sigterm
from attendant_loadtest.fairness.clients import Asking, Client
from attendant_loadtest.workloads import WORDS

NUM_TEXTS = 4096


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found of a server.

    Attributes:
        alone_p50_s, alone_p99_s: first tokens of the light clients, paced, without the heavy one.
        beside_p50_s, beside_p99_s: the same beside it.
        num_alone, num_beside: first tokens that these are of.
        index: Jain's index of what all clients got when each had more requests than could run.
        shares: what each got of that, as shares; the heavy one's first.
    """

    alone_p50_s: float
    alone_p99_s: float
    beside_p50_s: float
    beside_p99_s: float
    num_alone: int
    num_beside: int
    index: float
    shares: tuple[float, ...]


def main(argv: list[str] | None = None) -> int:
    """Measure, print the figures, and return the exit code: 0, or 1 with the cause on standard error."""
    end_on_sigterm()
    args = _parser().parse_args(argv)
    try:
        found = asyncio.run(_measure(args))
    except (grpc.RpcError, BaseExceptionGroup) as error:
        first = _first(error)
        if not isinstance(first, grpc.RpcError):
            raise
        print(f"error: {first.code().name}: {first.details()}", file=sys.stderr)
        return 1
    print(_told(found))
    if args.out:
        args.out.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return 0


async def _measure(args: argparse.Namespace) -> Figures:
    rng = random.Random(args.seed)
    texts = [" ".join(rng.choices(WORDS, k=args.words)) for _ in range(NUM_TEXTS)]
    heavy, light = Client("heavy"), [Client(f"light-{number}") for number in range(args.light)]
    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection lets only so many calls of its own run
    async with (
        grpc.aio.insecure_channel(args.address, own) as channel,
        grpc.aio.insecure_channel(args.address, own) as crowded,
    ):
        models = models_pb2_grpc.ModelsStub(channel)  # type: ignore[no-untyped-call]
        model = await models.GetModel(models_pb2.GetModelRequest(model=args.model))
        asking = Asking(channel, model.name, texts, args.max_tokens)
        crowding = Asking(crowded, model.name, texts, args.max_tokens)

        def paced() -> list[Coroutine[Any, Any, None]]:
            return [asking.paced(client, args.rate, seed) for seed, client in enumerate(light)]

        many = crowding.always(heavy, args.requests)
        await _during(light, paced(), args.warm_up, args.seconds)
        alone = sorted(first for client in light for first in client.first_tokens_s)
        await _during(light, [many, *paced()], args.warm_up, args.seconds)
        beside = sorted(first for client in light for first in client.first_tokens_s)
        many = crowding.always(heavy, args.requests)
        busy = [asking.always(client, args.at_a_time) for client in light]
        await _during([heavy, *light], [many, *busy], args.warm_up, args.seconds)
    had = [heavy.service, *(client.service for client in light)]
    return Figures(
        *(_share(alone, 0.5), _share(alone, 0.99), _share(beside, 0.5), _share(beside, 0.99)),
        *(len(alone), len(beside)),
        index=sum(had) ** 2 / (len(had) * sum(each * each for each in had)),
        shares=tuple(each / sum(had) for each in had),
    )


async def _during(
    counted: Sequence[Client], work: Sequence[Coroutine[Any, Any, None]], warm_up_s: float, seconds: float
) -> None:
    """Let ``work`` go on so long, and count what the clients get after the first ``warm_up_s`` seconds of it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(warm_up_s + seconds), asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(each)
            await asyncio.sleep(warm_up_s)
            for client in counted:
                client.forget()


def _first(error: BaseException) -> BaseException:
    """The error, or of a group the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _share(values: Sequence[float], share: float) -> float:
    """The value that this share does not exceed."""
    return values[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def _told(found: Figures) -> str:
    ratio = found.beside_p99_s / found.alone_p99_s
    return (
        f"first token of light clients, p50 and p99: {found.alone_p50_s:.3f} and {found.alone_p99_s:.3f} s alone "
        f"({found.num_alone}), {found.beside_p50_s:.3f} and {found.beside_p99_s:.3f} s beside the heavy one "
        f"({found.num_beside}): p99 {ratio:.2f} times\n"
        f"all with more than can run: Jain's index {found.index:.4f}, shares "
        f"{' '.join(f'{share:.3f}' for share in found.shares)}"
    )


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
    add("--max-tokens", type=int, default=16, help="tokens of each answer (default: 16)")
    add("--seed", type=int, default=1, help="of the texts (default: 1)")
    add("--out", type=Path, help="write the figures to this JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
