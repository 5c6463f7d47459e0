"""``python -m attendant_loadtest.fairness.crowd``: the heavy client, in a process of its own, which holds up no other's
clock. Each line of its input is answered with what it got so far; the end of the input ends it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc.aio

from attendant_loadtest.fairness.clients import OWN_CONNECTION, Asking, Client, texts_of


def main() -> int:
    """Run until the input ends."""
    asyncio.run(_run(_parser().parse_args()))
    return 0


PER_CONNECTION = 125
"""Requests at a time: a server that is busy refuses streams that it has not seen the end of others for."""


async def _run(args: argparse.Namespace) -> None:
    heavy, texts = Client("heavy"), texts_of(args.words, args.seed)
    async with AsyncExitStack() as stack:
        parts: list[Coroutine[Any, Any, None]] = []
        for first in range(0, args.requests, PER_CONNECTION):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(args.address, OWN_CONNECTION))
            asking = Asking(channel, args.model, texts[first:], args.max_tokens)
            parts.append(asking.always(heavy, min(PER_CONNECTION, args.requests - first)))
        work = asyncio.create_task(_all(parts))
        listening = asyncio.create_task(_tell(heavy))
        await asyncio.wait({work, listening}, return_when=asyncio.FIRST_COMPLETED)
        failed = work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if failed:
            work.result()


async def _all(parts: Sequence[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


async def _tell(heavy: Client) -> None:
    """Answer what is asked."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        told = {"service": heavy.service, "refused": heavy.refused, "processor_s": time.process_time()}
        print(json.dumps(told), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.fairness.crowd")
    add = parser.add_argument
    add("address")
    add("model")
    add("--requests", type=int, required=True)
    add("--words", type=int, required=True)
    add("--max-tokens", type=int, required=True)
    add("--seed", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
