"""``python -m attendant_loadtest.simulate.shapes BUNDLE [ARGUMENTS OF SERVE]``: what the engine is like, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from attendant.bundle import read_manifest
from attendant.models.generators import load_generator
from attendant.settings import SettingsArguments

from attendant_loadtest.simulate.subject import Shape


def main(argv: list[str]) -> int:
    """Load the bundle as a server would, print and end: its memory ends with the process."""
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.simulate.shapes", description=__doc__)
    arguments = SettingsArguments(parser)
    settings = arguments.load(parser.parse_args(argv))
    (bundle,) = settings.bundles
    manifest = read_manifest(bundle)
    model = load_generator(bundle, manifest, settings.engine, verify=False)
    (engine,) = model.engines
    print(json.dumps(asdict(Shape.of(engine.facts(manifest.name), settings.engine.max_queue))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
