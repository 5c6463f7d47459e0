"""The encoders of the benchmark: known shapes with random weights, exported to a bundle for each precision and kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from attendant_loadtest.bench.bundles import BundleNotMade

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
        if not (source / "model.safetensors").exists():
            _run([sys.executable, "-m", "attendant_loadtest.bench.encoders_source", model, str(source)], source)
        export = [sys.executable, "-m", "attendant", "export", str(source), str(bundle)]
        _run([*export, "--task", TASKS[model], "--precision", precision, "--name", bundle.name], bundle)
    return bundle


def _run(command: list[str], made: Path) -> None:
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise BundleNotMade(f"the exporter could not make {made}; it needs the extra 'export'")
