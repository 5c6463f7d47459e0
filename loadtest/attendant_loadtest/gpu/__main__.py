"""``python -m attendant_loadtest.gpu``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attendant_loadtest.gpu.kit import Kit, KitError
from attendant_loadtest.gpu.shapes import MODELS

_STARTED = time.monotonic()


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 a check failed, 2 wrong usage."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.command(args)
    except (KitError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return code


def _prepare(args: argparse.Namespace) -> int:
    from attendant_loadtest.gpu.prepare.prepare import prepare

    if args.out.exists() and any(args.out.iterdir()):
        raise KitError(f"{args.out} is not empty")
    prepare(args.out, dry_run=args.dry_run, progress=_tell)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    _tell(f"{args.out}: {size / 1e6:.1f} MB")
    return 0


def _run(args: argparse.Namespace) -> int:
    from attendant_loadtest.gpu.run import run

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, so that all processes end
    kit = Kit.load(args.kit)
    if kit.dry_run != args.dry_run:
        raise KitError(f"{args.kit} was prepared {'with' if kit.dry_run else 'without'} --dry-run; so must it be run")
    if args.models:
        kit = kit.only(args.models)
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        passed = run(kit, args.out, args.checks, minutes=args.minutes, work=Path(work), progress=_tell)
    return 0 if passed else 1


def _table(args: argparse.Namespace) -> int:
    from attendant_loadtest.gpu.report import markdown, merge

    print(markdown(merge([_read(path) for path in args.results])), end="")
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise KitError(f"{path} is not JSON: {error}") from error
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.gpu", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare = commands.add_parser("prepare", help="write a kit; needs the exporter, and no GPU")
    prepare.add_argument("out", type=Path, help="folder for the kit")
    prepare.add_argument("--dry-run", action="store_true", help="a small kit that a processor can run")
    prepare.set_defaults(command=_prepare)
    run = commands.add_parser("run", help="run the checks of a kit; needs a GPU, and no exporter")
    run.add_argument("kit", type=Path, help="folder that `prepare` wrote")
    run.add_argument("--out", type=Path, default=Path("results.json"), help="results file (default: %(default)s)")
    run.add_argument("--checks", type=_checks, default=(1, 2, 3, 4), help="numbers of checks (default: 1,2,3,4)")
    run.add_argument("--models", type=_models, help="Llamas of check 3, e.g. 8b (default: all)")
    run.add_argument("--minutes", type=float, help="that the server is watched for (default: 10)")
    run.add_argument("--work", type=Path, help="folder for bundles with weights: 19 GB (default: the temporary one)")
    run.add_argument("--dry-run", action="store_true", help="the kit was prepared with --dry-run; no GPU is used")
    run.set_defaults(command=_run)
    table = commands.add_parser("table", help="print results as Markdown")
    table.add_argument("results", type=Path, nargs="+", help="results file of `run`; several are read as of one run")
    table.set_defaults(command=_table)
    return parser


def _checks(text: str) -> tuple[int, ...]:
    found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if not set(found) <= {1, 2, 3, 4}:
        raise argparse.ArgumentTypeError(f"{text}: checks are 1 to 4")
    return found


def _models(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    if not set(found) <= set(MODELS):
        raise argparse.ArgumentTypeError(f"{text}: models are {', '.join(MODELS)}")
    return found


def _tell(line: str) -> None:
    print(f"{time.monotonic() - _STARTED:7.1f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
