"""Measures what steps cost, and the wire: a real server of the bundle under a load that has a bit of everything."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from attendant.bundle import read_manifest

from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.openloop.grpc_target import GrpcTarget, connected
from attendant_loadtest.openloop.loop import run
from attendant_loadtest.openloop.samples import ANSWERED, Sample
from attendant_loadtest.overload.servers import Server
from attendant_loadtest.schedule.arrivals import Ramp
from attendant_loadtest.schedule.lengths import Lognormal
from attendant_loadtest.schedule.mix import Mix, plan, requests
from attendant_loadtest.schedule.planned import Schedule
from attendant_loadtest.simulate.fitting import fit, spread_of, wires_of
from attendant_loadtest.simulate.recorded import recorded
from attendant_loadtest.simulate.subject import Costs, Shape, Subject

RUSH_SHARE = 0.2
"""Of the time, at its begin, requests come all at once, to see how many a second can be done."""

LOADS = 0.1, 1.0
"""Then they come on their own, ever more of them, from so much of that to so much."""

MIX = Mix(Lognormal(64, 1.2, 384), Lognormal(24, 1.0, 128))
"""Prompts and answers of all sizes."""

RUSH = 4_000
"""Requests at hand for the first part."""

Tell = Callable[[str], None]


def calibrate(
    bundle: Path, seconds: float, served: Sequence[str] = (), seed: int = 1, tell: Tell = lambda line: None
) -> Subject:
    """Measure for about so many seconds.

    Args:
        served: more arguments of the server.

    Raises:
        ServerFailed, AttendantError: the bundle cannot be served.
    """
    manifest = read_manifest(bundle)
    shape = shape_of(bundle, served)
    with recorded([bundle, "--log-level", "warning", *served]) as (server, steps):
        begin_s, seen = asyncio.run(_measure(server, shape, manifest.vocab_size, seconds, seed))
    steps = steps[steps[:, -1] >= begin_s, :-1]
    pace, ratios = fit(steps)
    told = [each for each in seen if each.first_s is not None and each.server_first_s is not None]
    times = np.array([(each.planned.at_s, each.first_s, each.end_s, each.server_first_s) for each in told], np.float64)
    due, first, end, server_first = times.T
    costs = Costs(pace, spread_of(ratios), wires_of(due, first, end, first - due - server_first, shape.max_num_seqs))
    tell(f"{manifest.name}: {len(steps)} steps, {len(told)} requests")
    measured = {"precision": manifest.precision, "seconds": seconds, "steps": len(steps), "served": [*served]}
    return Subject(manifest.name, shape, costs, measured)


def shape_of(bundle: Path, served: Sequence[str] = ()) -> Shape:
    """What a server's engine would be like, with these arguments. It is loaded in a process of its own."""
    command = [sys.executable, "-m", "attendant_loadtest.simulate.shapes", str(bundle), *served]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Shape(**json.loads(done.stdout))


async def _measure(
    server: Server, shape: Shape, vocab_size: int, seconds: float, seed: int
) -> tuple[float, list[Sample]]:
    """What callers saw whose requests came on their own, and when that began, monotonic."""
    rush_s = RUSH_SHARE * seconds
    mix = _fitting(MIX, shape.context_length)
    async with connected(server.grpc, "", vocab_size, seed) as target:
        per_s = await _rush(target, requests(mix, [0.0] * RUSH, seed), shape.max_num_seqs + 4, rush_s)
        ramp = Ramp(LOADS[0] * per_s, LOADS[1] * per_s)
        begin_s = time.monotonic()
        return begin_s, (await run(plan(ramp, mix, seconds - rush_s, seed + 1), target)).samples


def _fitting(mix: Mix, context_length: int) -> Mix:
    """The same with no request longer than the model takes."""
    most = context_length // 2
    if context_length >= 512:
        return mix
    return Mix(Lognormal(most / 4, 1.0, most - 1), Lognormal(most / 8, 1.0, most))


async def _rush(target: GrpcTarget, schedule: Schedule, callers: int, seconds: float) -> float:
    """Requests a second that so many callers get answered."""
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    waiting, ends = iter(schedule), []

    async def calls() -> None:
        while (now := loop.time()) < begin_s + seconds and (planned := next(waiting, None)) is not None:
            sample = Sample(planned)
            await target.ask(target.prepare(planned), planned, sample, lambda: loop.time() - now)
            if sample.how != ANSWERED:
                raise ServerFailed(f"a call for calibration was {sample.how}: {sample.error}")
            ends.append(loop.time())

    await asyncio.gather(*[calls() for _ in range(callers)])
    done = [end for end in ends if end >= begin_s + seconds / 4]
    return max(len(done) - 1, 1) / max(done[-1] - done[0], 1e-3) if done else 1.0
