"""``python -m attendant_loadtest.fairness.crowd``: the heavy client, in a process of its own, which holds up no other's
clock. Each line of its input is answered with what it got so far; the end of the input ends it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import grpc.aio

from attendant_loadtest.fairness.clients import OWN_CONNECTION, Asking, Client, texts_of


def main() -> int:
    """Run until the input ends."""
    asyncio.run(_run(_parser().parse_args()))
    return 0


async def _run(args: argparse.Namespace) -> None:
    heavy = Client("heavy")
    async with grpc.aio.insecure_channel(args.address, OWN_CONNECTION) as channel:
        asking = Asking(channel, args.model, texts_of(args.words, args.seed), args.max_tokens)
        work = asyncio.create_task(asking.always(heavy, args.requests))
        listening = asyncio.create_task(_tell(heavy))
        await asyncio.wait({work, listening}, return_when=asyncio.FIRST_COMPLETED)
        failed = work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if failed:
            work.result()


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
