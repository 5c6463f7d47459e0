"""Which models the comparison runs over: the benchmark's own of random weights, and a trained checkpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import read_manifest

from attendant_loadtest.bench.bundles import BundleNotMade, bench_bundle, export, write_source

RANDOM, SMOLLM2 = "random", "smollm2"


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder in the Hugging Face format, and where what is made of it is kept. ``trained``: its distributions
    are worth comparing."""

    name: str
    source: Path
    folder: Path
    trained: bool

    @property
    def vocab_size(self) -> int:
        """The width of its logits."""
        size: int = json.loads((self.source / "config.json").read_text(encoding="utf-8"))["vocab_size"]
        return size

    @property
    def peers(self) -> Path:
        """Where peers keep theirs."""
        return self.folder / "peers" / "models"

    def bundle(self, precision: str, *, afresh: bool = False) -> Path:
        """Our bundle of a precision; made first if it is not there.

        Args:
            afresh: make it again; the exporter may have changed.

        Raises:
            BundleNotMade: the exporter failed.
        """
        if not self.trained and not afresh:
            return bench_bundle(self.folder, precision)
        bundle = self.folder / f"bench-{precision}"
        if afresh and bundle.exists():
            shutil.rmtree(bundle)
        if not (bundle / "bundle.json").exists():
            export(self.source, bundle, "--precision", precision)
        return bundle


def random_model(cache: Path) -> Model:
    """The benchmark's own."""
    source = cache / "source"
    if not (source / "config.json").exists():
        write_source(source)
    return Model(RANDOM, source, cache, trained=False)


def trained_model(cache: Path, checkpoint: Path | None = None) -> Model:
    """The model of folder ``checkpoint``; by default SmolLM2-135M-Instruct, as the exporter's package fetches it.

    Raises:
        BundleNotMade: it cannot be had; says why.
    """
    source = checkpoint.resolve() if checkpoint else _fetched(SMOLLM2)
    if not (source / "config.json").exists():
        raise BundleNotMade(f"{source} is no model folder: there is no config.json in it")
    name = source.name if checkpoint else SMOLLM2
    return Model(name, source, cache / name, trained=True)


def size_mb(bundle: Path) -> float:
    """The size of the graphs and weights of our bundle, in MB."""
    files = read_manifest(bundle).files
    return sum(entry.size for name, entry in files.items() if ".onnx" in name) / 1e6


def _fetched(name: str) -> Path:
    command = (sys.executable, "-m", "attendant_export.checkpoints", name)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.split("\n")
    if done.returncode or not done.stdout.strip():
        raise BundleNotMade(f"the checkpoint {name} cannot be had (its error is above); --checkpoint takes a folder")
    return Path([line for line in lines if line.strip()][-1].strip())
