"""The encoders of the benchmark: known shapes with random weights, exported to a bundle for each precision and kept."""

from __future__ import annotations

from pathlib import Path

from attendant_loadtest.bench.bundles import export, make_source

TASKS = {"bert-base": "classify", "minilm": "embed"}
"""What each model is served for, by name."""

MODELS = tuple(TASKS)
PRECISIONS = ("fp32", "int8")


def bench_encoder(folder: Path, model: str, precision: str) -> Path:
    """The bundle of a model and precision in ``folder``; made first if it is not there, which takes a minute.

    Raises:
        BundleNotMade: the exporter failed.
    """
    bundle = folder / f"{model}-{precision}"
    if not (bundle / "bundle.json").exists():
        source = folder / f"{model}-source"
        make_source(source, "encoders_source", model)
        export(source, bundle, "--task", TASKS[model], "--precision", precision)
    return bundle
