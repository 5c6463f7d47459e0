"""`python -m tests.export.census`: runs classes of transformers through the export, each in a process of its own.

Prints a line of JSON for each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import OUTCOMES, Result
from tests.export.census.page import write_page
from tests.export.census.running import SECONDS, preload, run_class

_MANY = 4


def main(argv: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tests.export.census", description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may come again")
    parser.add_argument("--only", default="", help="only these model types, by commas")
    parser.add_argument("--out", type=Path, help="append the lines to this file, too")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that one class may take (%(default)s)")
    parser.add_argument("--page", action="store_true", help="write docs/census.md of these and the others that it has")
    parser.add_argument("--results", type=Path, action="append", help="run nothing: take the lines of this file")
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
    results = (
        _run(tasks, args) if args.results is None else [result for file in args.results for result in _lines(file)]
    )
    counts = Counter(result.outcome for result in results)
    print(", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]), file=sys.stderr)
    if args.page:
        write_page(results)
    return 0


def _run(tasks: list[tuple[str, str]], args: argparse.Namespace) -> list[Result]:
    preload(warm=len(tasks) > _MANY)
    results = []
    for kind, model_type in tasks:
        results.append(run_class(kind, model_type, seconds=args.seconds, debug=args.debug))
        print(results[-1].line(), flush=True)
        if args.out is not None:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(results[-1].line() + "\n")
    return results


def _lines(path: Path) -> list[Result]:
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
