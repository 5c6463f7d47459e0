"""`python -m tests.soak [--minutes 10] [--seed N] [--json FILE]`: a server at 80 % of what it can do, for so long.

A generator, encoders, a translator and a Whisper; beams, schemas, tools; calls that are left and calls in a hurry;
versions that change. Exit code 1: an answer that is not the one alone, a call without end, a failure, or memory that
grows by 3 %.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.soak.run import ALONE
from tests.soak.served import soak

MOST_GROWTH = 1.03
SETTLED_S = 60.0


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--json", type=Path, help="write what came of it to this file")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), 60 * options.minutes, options.seed, measure_s=15.0, whisper=True)
    growth = found.growth(min(SETTLED_S, found.seconds / 2))
    told = {
        "seed": options.seed,
        "seconds": round(found.seconds, 1),
        "calls": found.ends.total(),
        "calls_a_second": round(found.rate, 2),
        "switches": found.switches,
        "slowest_s": round(found.slowest_s, 2),
        "service_of_two_tenants": found.service,
        "may_differ_by": found.bound,
        "memory_mb": [size >> 20 for _, size in found.resident[:: max(1, len(found.resident) // 20)]],
        "memory_growth": round(growth, 4),
        "ends": dict(sorted(found.ends.items())),
        "wrong": sorted(found.wrong, key=lambda told: ALONE not in told)[:50],
    }
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return int(bool(found.wrong) or growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
