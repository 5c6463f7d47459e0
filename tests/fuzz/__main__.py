"""`python -m tests.fuzz [--cases 100000] [--seed N] [--only PART] [--first CASE]`: random cases against a server.

Each part has a share of the cases: messages of every gRPC method, bodies of every HTTP path, calls that the OpenAPI
page describes, files of sound and images, bundles. The seed is printed; a case can be had again by its part, seed and
number, with `--first CASE --cases 1`. Exit code 1: a crash, a hang, a failure of its own, or memory that grows.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz.apart import run_apart
from tests.fuzz.asked import HANGS_S
from tests.fuzz.bundles import bundle_case
from tests.fuzz.guided import run_guided
from tests.fuzz.parsed import file_case
from tests.fuzz.served import ask_grpc, ask_http, ask_openapi
from tests.http.api.fuzz import served
from tests.system.server import ServerProcess

SHARES: Mapping[str, float] = {
    "grpc": 0.4,
    "http": 0.175,
    "openapi": 0.005,
    "files": 0.2,
    "bundles": 0.02,
    "guided": 0.2,
}
"""Of the cases. A bundle takes a tenth of a second, what schemathesis draws a quarter, a file a millisecond."""

MOST_GROWTH, SLACK_BYTES = 1.05, 64 << 20
"""Memory after all cases, of that after a fifth. The slack is for caches, of grammars for one."""


@dataclass(frozen=True)
class Part:
    """What became of one part's cases."""

    cases: int
    seconds: float
    ends: Mapping[str, int]
    bad: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--only", choices=sorted(SHARES), action="append")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--json", type=Path, help="write what came of it to this file")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    parts = options.only or list(SHARES)
    total = sum(SHARES[part] for part in parts)
    found: dict[str, Part] = {}
    with ExitStack() as stack:
        run = _Runs(stack, options.seed)
        for part in parts:
            cases = max(1, round(options.cases * SHARES[part] / total))
            found[part] = run.part(part, range(options.first, options.first + cases))
            _tell(part, found[part])
        found["server"] = run.server_afterwards()
    for bad in found["server"].bad:
        print(bad)
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "parts": {k: vars(v) for k, v in found.items()}}))
    return int(any(part.bad for part in found.values()))


class _Runs:
    """Runs parts, those that need a server against one and the same."""

    def __init__(self, stack: ExitStack, seed: int) -> None:
        self._stack = stack
        self._seed = seed
        self._server: ServerProcess | None = None

    def part(self, name: str, numbers: range) -> Part:
        """One part's cases, by their numbers."""
        begin = time.monotonic()
        ends, bad = getattr(self, f"_{name}")(numbers)
        return Part(len(numbers), time.monotonic() - begin, dict(ends), tuple(bad))

    def server_afterwards(self) -> Part:
        """What is wrong with the server when all has been asked."""
        if self._server is None:
            return Part(0, 0.0, {}, ())
        bad = [] if self._server.healthz() == 200 else ["the server is not well afterwards"]
        if "Traceback" in self._server.log():
            bad.append(f"the log has a traceback:\n{self._server.log()[-3000:]}")
        return Part(0, 0.0, {}, tuple(bad))

    @property
    def server(self) -> ServerProcess:
        """One with all kinds of models, begun when it is needed."""
        if self._server is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._server = self._stack.enter_context(served(folder))
        return self._server

    def _grpc(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return self._in_fifths(ask_grpc, numbers)

    def _http(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return self._in_fifths(ask_http, numbers)

    def _in_fifths(self, ask: Callable[..., Any], numbers: range) -> tuple[Counter[str], list[str]]:
        """Asks a fifth of the cases at a time, and looks at the server's memory after each."""
        process, resident = psutil.Process(self.server.process.pid), []
        ends, bad = Counter[str](), list[str]()
        step = max(1, -(-len(numbers) // 5))
        for start in range(numbers.start, numbers.stop, step):
            some_ends, some_bad = ask(self.server, self._seed, range(start, min(start + step, numbers.stop)))
            ends += some_ends
            bad += some_bad
            resident.append(process.memory_info().rss)
        return ends, bad + growth(resident)

    def _openapi(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return ask_openapi(self.server, self._seed, numbers)

    def _files(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return _apart(file_case, self._seed, numbers)

    def _bundles(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return _apart(bundle_case, self._seed, numbers)

    def _guided(self, numbers: range) -> tuple[Counter[str], list[str]]:
        return run_guided(self._seed, len(numbers))


def _apart(case: Callable[[random.Random], tuple[str, str]], seed: int, numbers: range) -> tuple[Counter[str], Any]:
    ran = run_apart(case, seed, numbers, HANGS_S)
    return ran.ends, ran.bad + growth(ran.resident)


def growth(resident: Sequence[int]) -> list[str]:
    """What is wrong with a process that had so many bytes of memory in turn, once its caches were filled."""
    if len(resident) < 5 or resident[-1] <= resident[len(resident) // 5] * MOST_GROWTH + SLACK_BYTES:
        return []
    return [f"memory grows, in MB: {[size >> 20 for size in resident]}"]


def _tell(name: str, part: Part) -> None:
    ends = ", ".join(f"{end} {count}" for end, count in sorted(part.ends.items()))
    print(f"{name}: {part.cases} cases in {part.seconds:.0f} s, {len(part.bad)} bad; {ends}", flush=True)
    for bad in part.bad[:12]:
        print(f"  {bad}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
