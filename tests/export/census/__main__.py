"""`python -m tests.export.census`: runs classes of transformers through the export, each in a process of its own.

Prints a line of JSON for each.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import OUTCOMES
from tests.export.census.running import SECONDS, preload, run_class

_MANY = 4


def main(argv: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tests.export.census", description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may come again")
    parser.add_argument("--only", default="", help="only these model types, by commas")
    parser.add_argument("--out", type=Path, help="append the lines to this file, too")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that one class may take (%(default)s)")
    parser.add_argument("--debug", action="store_true", help="show what the classes say and raise")
    args = parser.parse_args(argv)
    only = set(filter(None, args.only.split(",")))
    tasks = [
        (kind, model_type)
        for kind in args.kind or KINDS
        for model_type in KINDS[kind].classes()
        if not only or model_type in only
    ]
    if not tasks:
        parser.error(f"no class of these kinds is of type {args.only}")
    preload(warm=len(tasks) > _MANY)
    counts: Counter[str] = Counter()
    for kind, model_type in tasks:
        result = run_class(kind, model_type, seconds=args.seconds, debug=args.debug)
        counts[result.outcome] += 1
        print(result.line(), flush=True)
        if args.out is not None:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(result.line() + "\n")
    print(", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
