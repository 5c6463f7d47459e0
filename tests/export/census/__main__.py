"""`python -m tests.export.census`: runs classes of transformers through the export, each in a process of its own.

Prints a line of JSON for each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.export.census.kinds import KINDS
from tests.export.census.outcome import OUTCOMES, Result
from tests.export.census.page import missing, write_page
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
    parser.add_argument("--missing", action="store_true", help="only those that the page has not")
    parser.add_argument("--jobs", type=int, default=1, help="so many at once (%(default)s)")
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
    if args.missing:
        left = missing()
        tasks = [task for task in tasks if task in left]
    results = _run(tasks, args) if args.results is None else [one for file in args.results for one in _lines(file)]
    counts = Counter(result.outcome for result in results)
    print(", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]), file=sys.stderr)
    if args.page:
        write_page(results)
    return 0


def _run(tasks: list[tuple[str, str]], args: argparse.Namespace) -> list[Result]:
    """Results in the order of the classes; what is done is printed and kept at once."""

    def run(task: tuple[str, str]) -> Result:
        return run_class(*task, seconds=args.seconds, debug=args.debug)

    preload(warm=len(tasks) > _MANY)
    results = []
    with ThreadPoolExecutor(args.jobs) as pool:  # each thread waits for the process of a class
        for result in pool.map(run, tasks):
            results.append(result)
            print(result.line(), flush=True)
            if args.out is not None:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(result.line() + "\n")
            if args.page:
                write_page(results)
    return results


def _lines(path: Path) -> list[Result]:
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(main())
