"""python -m tests.replicas [restart] [kill] [slow] [affinity]: several servers behind Envoy, measured.

Prints a JSON object: what callers saw of each, beside the bars.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from attendant.demo import demo_bundle

from tests.replicas import scenes


def main() -> None:
    """Run what is asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.replicas", description=__doc__)
    parser.add_argument("scenes", nargs="*", default=["restart", "kill", "slow", "affinity"])
    parser.add_argument("--bundle", type=Path, default=demo_bundle())
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=12)
    parser.add_argument("--max-tokens", type=int, default=24)
    told = parser.parse_args()
    found = {}
    for name in told.scenes:
        with tempfile.TemporaryDirectory() as folder:
            scene = scenes.Scene(told.bundle, Path(folder), told.max_tokens)
            count = told.streams if name == "kill" else told.calls
            found[name] = asyncio.run(getattr(scenes, name)(scene, count))
        print(json.dumps({name: found[name]}, indent=1), flush=True)


if __name__ == "__main__":
    main()
