"""The server of a soak, with a model of each kind; what it holds afterwards is what it held before."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.models.repositories import make_repository, serving_repository
from tests.soak.run import MAX_RUNNING, Soak, Soaked
from tests.synthetic import HERMES_TEMPLATE, make_synthetic_bundle
from tests.system.server import eventually
from tests.whisper import make_whisper_bundle


def soak(folder: Path, seconds: float, seed: int, *, measure_s: float, whisper: bool) -> Soaked:
    """Run one in a folder of its own, and look at the server when it is over. ``whisper``: have one exported for it."""
    repository = make_repository(folder / "models")
    bundles = [make_synthetic_bundle(folder / "tools", name="tools", chat_template=HERMES_TEMPLATE)]
    if whisper:
        bundles.append(make_whisper_bundle(folder / "whisper"))
    log = folder / "log"
    with serving_repository(repository, log, *bundles, "--demo", "--engine.max-num-seqs", MAX_RUNNING) as server:
        run = Soak(server, repository, seed, whisper=whisper)
        soaked = asyncio.run(run.run(seconds, measure_s))
        eventually(server.is_idle)
        if server.healthz() != 200:
            soaked.wrong.append("the server is not well afterwards")
        logged = server.log()
        if (at := logged.find("Traceback")) >= 0:
            times = logged.count("Traceback")
            soaked.wrong.append(f"the log has {times} tracebacks, the first:\n{logged[max(at - 500, 0) : at + 4000]}")
    return soaked
