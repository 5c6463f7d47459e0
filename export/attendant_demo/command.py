"""The command line that the builds of the demo models share, and the files they make."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

BUNDLE_FOLDER, REPORT_FILE = "bundle", "report.json"
Tell = Callable[[str], None]
Report = dict[str, Any]


class Settings(Protocol):
    """What every training run has among its settings, a frozen dataclass."""

    @property
    def seed(self) -> int:
        """The seed of everything random."""

    @property
    def num_threads(self) -> int:
        """The number of threads, a part of what makes a run repeatable."""


S = TypeVar("S", bound=Settings)
S_contra = TypeVar("S_contra", bound=Settings, contravariant=True)


class Build(Protocol[S_contra]):
    """Makes a model folder, a bundle and a report in a folder."""

    def __call__(self, out: Path, settings: S_contra, tell: Tell, *, reuse: bool) -> Report:
        """Returns the report. ``reuse`` takes the model that an earlier build left in ``out``."""


@dataclass(frozen=True)
class Amount:
    """The flag for how much to train on: ``--NAME`` sets ``num_NAME``."""

    name: str
    help: str


def run(
    build: Build[S],
    defaults: S,
    amount: Amount,
    *,
    prog: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
    show: Callable[[Report], None] | None = None,
) -> int:
    """Run a build as the command line says, and print its report.

    Args:
        defaults: settings; a flag --no-bfloat16 is there if they have ``bfloat16``.
        arguments: of the command line; None for the process's own.
        show: prints the report in a way of its own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", description=description)
    parser.add_argument("out", type=Path, help=f"folder for the model's folder, {BUNDLE_FOLDER}/ and {REPORT_FILE}")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=defaults.num_threads, help="part of what makes a run repeatable")
    number = f"num_{amount.name}"
    parser.add_argument(f"--{amount.name}", type=int, default=getattr(defaults, number), help=amount.help)
    if hasattr(defaults, "bfloat16"):
        parser.add_argument("--no-bfloat16", action="store_true", help="train in float32, for a CPU without bfloat16")
    parser.add_argument("--reuse", action="store_true", help="export and evaluate the model that OUT holds already")
    options = parser.parse_args(arguments)
    changes = {"seed": options.seed, "num_threads": options.threads, number: getattr(options, amount.name)}
    if hasattr(defaults, "bfloat16"):
        changes["bfloat16"] = not options.no_bfloat16
    options.out.mkdir(parents=True, exist_ok=True)
    before = torch.get_num_threads()
    try:
        settings: S = replace(defaults, **changes)  # type: ignore[type-var]
        report = build(options.out, settings, lambda line: print(line, flush=True), reuse=options.reuse)
    finally:
        torch.set_num_threads(before)
    if show is None:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        show(report)
    return 0


def write_report(out: Path, report: Report) -> None:
    """Keep what is known so far."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    (out / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


def read_report(out: Path) -> Report:
    """What an earlier build left."""
    report: Report = json.loads((out / REPORT_FILE).read_text(encoding="utf-8"))
    return report
