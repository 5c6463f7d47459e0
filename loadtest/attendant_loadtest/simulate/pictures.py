"""Times and goodput over the rate, as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from attendant_loadtest.openloop.objective import Objective
from attendant_loadtest.simulate.whatif import Answer

COLOURS = ("#1f5fa8", "#b8541c", "#2f7d4f", "#7a4ea3", "#8a6d1a", "#4a4a4a")
MARKS = ("o", "s", "^", "D", "v", "P")
"""Lines differ by mark and dashes, too: they can be told apart without colour."""

DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def draw(answers: Sequence[Answer], objective: Objective | None, title: str, path: Path) -> None:
    """Write a picture; the ending of ``path`` says which kind: svg, png, pdf."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "attendant"  # the same answers make the same file
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), layout="constrained")
    styles = itertools.cycle(zip(COLOURS, MARKS, DASHES, strict=True))
    for (name, series), (colour, mark, dashes) in zip(series_of(answers).items(), styles, strict=False):
        rates = [each.rate for each in series]
        style = {"color": colour, "marker": mark, "linestyle": dashes, "markersize": 4}
        for axis, percentile in zip(axes, ("50", "99"), strict=False):
            axis.plot(rates, [each.figures.first_s[percentile] * 1e3 for each in series], label=name, **style)
        good = [each.figures.goodput * each.figures.requests for each in series]
        shares = [number / max(each.figures.requests, 1) * each.rate for number, each in zip(good, series, strict=True)]
        axes[2].plot(rates, shares, label=name, **style)
    for axis, percentile in zip(axes, ("p50", "p99"), strict=False):
        axis.set_yscale("log")
        axis.set_ylabel(f"first token, {percentile}, ms")
        if objective is not None and objective.ttft_s is not None:
            axis.axhline(objective.ttft_s * 1e3, color="grey", linestyle=":", linewidth=1)
    axes[2].set_ylabel("good answers a second")
    axes[2].set_ylim(bottom=0)
    for axis in axes:
        axis.set_xlabel("requests a second")
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
    plt.close(figure)


def series_of(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Answers that differ in the rate alone, by what they have in common; names say only what differs elsewhere."""
    parts: dict[str, Callable[[Answer], str]] = {
        "replicas": lambda each: f"{each.replicas} replica{'s' * (each.replicas > 1)}",
        "budget": lambda each: f"budget {each.budget}",
        "balancer": lambda each: each.balancer,
        "affinity": lambda each: "affinity" if each.affinity else "no affinity",
    }
    varied = [name for name in parts if len({getattr(each, name) for each in answers}) > 1] or ["replicas"]
    found: dict[str, list[Answer]] = {}
    for each in answers:
        found.setdefault(", ".join(parts[name](each) for name in varied), []).append(each)
    return {name: sorted(series, key=lambda each: each.rate) for name, series in found.items()}
