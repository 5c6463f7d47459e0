"""Servers of the tool's own, and what one has counted."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from attendant_loadtest.bench.processes import ServerFailed, wait_or_kill


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server's runs did so far, or between two moments: runs, seconds of them, tokens of prompts,
    sources and texts, and those of answers that had a row in a run; and how long refusals took, a cumulative count for
    each upper bound in seconds."""

    runs: float
    seconds: float
    inputs: float
    answers: float
    refusals: Mapping[float, float] = field(default_factory=dict)

    def since(self, before: Counted) -> Counted:
        """What was added."""
        return Counted(
            self.runs - before.runs,
            self.seconds - before.seconds,
            self.inputs - before.inputs,
            self.answers - before.answers,
            {bound: count - before.refusals.get(bound, 0.0) for bound, count in self.refusals.items()},
        )

    def refusal_s(self, share: float) -> float | None:
        """What this share of refusals took at most, in seconds, within the bounds; None: there were none."""
        bounds = sorted(self.refusals)
        wanted = share * self.refusals[bounds[-1]] if bounds else 0.0
        below = had = 0.0
        for bound in bounds:
            count = self.refusals[bound]
            if count >= wanted > 0:
                return bound if math.isinf(bound) else below + (bound - below) * (wanted - had) / (count - had)
            below, had = bound, count
        return None

    @property
    def tokens(self) -> float:
        """All of them."""
        return self.inputs + self.answers


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens."""

    grpc: str
    http: str

    def counted(self, *, encoder: bool) -> Counted:
        """What its runs did so far."""
        page = urlopen(f"http://{self.http}/metrics", timeout=60).read().decode()
        found: dict[str, float] = {}
        refusals: dict[float, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
                if sample.name == "attendant_refusal_seconds_bucket":
                    refusals[float(sample.labels["le"])] = sample.value
        if encoder:
            runs, seconds, tokens = (
                found.get(f"attendant_encoder_{name}", 0.0)
                for name in ("compute_seconds_count", "compute_seconds_sum", "batch_tokens_sum")
            )
            return Counted(runs, seconds, tokens, 0.0, refusals)
        runs, seconds, tokens = (
            found.get(f"attendant_{name}", 0.0)
            for name in ("step_duration_seconds_count", "step_duration_seconds_sum", "step_tokens_sum")
        )
        decodes = found.get("attendant_step_batch_size_sum", 0.0)
        return Counted(runs, seconds, tokens - decodes, decodes, refusals)


@contextmanager
def serving(arguments: Sequence[str | Path], program: Sequence[str] = ("attendant", "serve")) -> Iterator[Server]:
    """Start a server with these arguments on free ports of the loopback, and end it afterwards.

    Args:
        program: a module to run in place of the server's own, and what comes before the arguments.

    Raises:
        ServerFailed: with the server's log.
    """
    command = [sys.executable, "-m", *program, *map(str, arguments)]
    command += ["--grpc.port", "0", "--http.port", "0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ATTENDANT_")}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if "metrics on" in line:
                    break
            grpc, http = re.search(r"gRPC on (\S+)", said), re.search(r"metrics on http://(\S+)/metrics", said)
            if grpc is None or http is None:
                log.seek(0)
                raise ServerFailed(f"the server did not start:\n{log.read()}")
            yield Server(grpc[1], http[1])
        finally:
            process.terminate()
            wait_or_kill(process)
