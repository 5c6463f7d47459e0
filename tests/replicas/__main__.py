"""python -m tests.replicas SCENE ...: several servers behind Envoy, or behind smg, measured.

Prints a JSON object for each: what callers saw. docs/replicas.md has the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from attendant.demo import demo_bundle

from tests.replicas import balancing, gateways, scenes

SCENES = {
    "restart": (scenes.restart, 2000, 0.7),
    "kill": (scenes.kill, 1000, 0.7),
    "slow": (balancing.slow, 1200, 0.9),
    "affinity": (balancing.affinity, 400, 0.3),
    "smg-restart": (gateways.restart, 2000, 0.7),
    "smg-kill": (gateways.kill, 400, 0.7),
    "smg-affinity": (gateways.affinity, 400, 0.3),
}
"""What is measured, with how many calls, at which share of what the servers can do."""


def main() -> None:
    """Run what is asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__)
    parser.add_argument("scenes", nargs="*", default=list(SCENES), metavar="scene", help=", ".join(SCENES))
    parser.add_argument("--bundle", type=Path, default=demo_bundle())
    parser.add_argument("--calls", type=int, help="other than the usual number of each scene")
    parser.add_argument("--share", type=float, help="other than the usual share of what the servers can do")
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--words", type=int, default=200, help="of a beginning that calls share")
    told = parser.parse_args()
    if unknown := set(told.scenes) - set(SCENES):
        parser.error(f"there is no scene {sorted(unknown)[0]!r}; there are: {', '.join(SCENES)}")
    for name in told.scenes:
        play, calls, share = SCENES[name]
        with tempfile.TemporaryDirectory() as folder:
            scene = scenes.Scene(told.bundle, Path(folder), told.max_tokens, told.share or share, told.words)
            found = asyncio.run(play(scene, told.calls or calls))
        print(json.dumps({name: found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
