"""``python -m attendant_loadtest.overload.figure RESULTS PNG``: goodput and times over the offered load, by kind."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

WITH, WITHOUT = "#1f5fa8", "#b8541c"


def main(argv: list[str] | None = None) -> int:
    """Draw, and return 0."""
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.overload.figure", description=__doc__)
    parser.add_argument("results", type=Path, help="what python -m attendant_loadtest.overload wrote")
    parser.add_argument("figure", type=Path, help="PNG file")
    args = parser.parse_args(argv)
    draw(json.loads(args.results.read_text(encoding="utf-8")), args.figure)
    return 0


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the figure. ``results``: of each kind of calls, by its name."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, len(results), figsize=(3.4 * len(results), 5.4), sharex=True, squeeze=False, layout="constrained"
    )
    for column, (kind, found) in enumerate(results.items()):
        above, below = axes[0][column], axes[1][column]
        for predicts, colour, label in ((True, WITH, "with predictions"), (False, WITHOUT, "without")):
            windows = [each for each in found["windows"] if each["predicts"] == predicts]
            loads = [each["load"] for each in windows]
            above.plot(loads, [each["goodput"] for each in windows], color=colour, marker="o", label=label)
            told = [each for each in windows if each["p99_s"] is not None]
            below.plot([each["load"] for each in told], [each["p99_s"] for each in told], color=colour, marker="o")
        above.set_title(f"{kind}, {found['capacity_per_s']:.3g} calls/s")
        above.set_ylim(bottom=0)
        below.axhline(found["deadline_s"], color="grey", linestyle=":", linewidth=1)
        below.set_ylim(bottom=0)
        below.set_xlabel("offered load / capacity")
        for axis in (above, below):
            axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("answered in time / capacity")
    axes[1][0].set_ylabel("p99 of the answered, s (dots: deadline)")
    axes[0][0].legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
