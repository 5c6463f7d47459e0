"""Whether a call notices that a version takes the place of another: `python -m tests.models.switches [SWITCHES]`.

A server is asked at 70 % of what it can do, of a decoder and then of an encoder, while versions of the model come and
go by turns. It prints how many calls failed (0 is promised), and how long calls took with and without switches.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from attendant_proto.v1 import models_pb2_grpc

from tests.models.repositories import (
    DECODER,
    DEMO,
    ENCODER,
    Caller,
    Told,
    load_request,
    make_repository,
    serving_repository,
)
from tests.system.server import ServerProcess

SHARE = 0.7
CALLERS = 8


@dataclass(frozen=True)
class Switched:
    """What calls during switches got, and calls before them."""

    rate: float
    before: Told
    during: Told
    current: str


async def switch(
    server: ServerProcess,
    folder: Path,
    model: str,
    switches: int,
    *,
    seconds: float = 3.0,
    pause: float = 0.8,
    first: int = 2,
) -> Switched:
    """Find what the model can do, ask for a share of it, and switch: each version is new in the folder, and the one
    before is deleted from it when the new one has taken over.

    Args:
        seconds: of finding out, and of asking before the first switch. pause: seconds after each switch.
        first: number of the first version that comes.
    """
    source = DEMO / ("bundle" if model == DECODER else "sentiment")
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        models, caller = models_pb2_grpc.ModelsStub(channel), Caller(channel)
        await caller.capacity(model, CALLERS, 0.5)
        rate = SHARE * await caller.capacity(model, CALLERS, seconds)
        before, during = Told(), Told()
        await _for(caller, model, rate, before, asyncio.sleep(seconds))

        async def change() -> None:
            for number in range(first, switches + first):
                shutil.copytree(source, folder / model / f".{number}")
                (folder / model / f".{number}").rename(folder / model / str(number))
                (loaded,) = (await models.Load(load_request(model))).versions
                assert (loaded.version, loaded.current) == (str(number), True)
                shutil.rmtree(folder / model / str(number - 1))
                await asyncio.sleep(pause)

        await _for(caller, model, rate, during, change())
        (last,) = (await models.Load(load_request(model))).versions
    return Switched(rate, before, during, last.version)


async def _for(caller: Caller, model: str, rate: float, told: Told, work: object) -> None:
    """Ask as long as ``work`` takes."""
    ended = asyncio.Event()
    asking = asyncio.create_task(caller.ask_at(model, rate, told, ended))
    try:
        await work  # type: ignore[misc]
    finally:
        ended.set()
        await asking


def _percentiles(told: Told) -> str:
    times = statistics.quantiles(told.seconds, n=100)
    return f"p50 {times[49] * 1e3:.1f} ms, p99 {times[98] * 1e3:.1f} ms"


def main(switches: int) -> None:
    """Measure and print."""
    for model in (DECODER, ENCODER):
        with tempfile.TemporaryDirectory() as place:
            folder = make_repository(Path(place) / "models")
            with serving_repository(folder, Path(place) / "log") as server:
                found = asyncio.run(switch(server, folder, model, switches))
        print(f"{model}: {found.rate:.0f} calls a second")
        print(f"  without switches: {len(found.before.seconds)} calls, {_percentiles(found.before)}")
        print(f"  {switches} switches: {len(found.during.seconds)} calls, {_percentiles(found.during)}")
        print(f"  failed: {len(found.before.failures)} and {len(found.during.failures)}")
        for failure in found.during.failures[:3]:
            print(f"    {failure}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
