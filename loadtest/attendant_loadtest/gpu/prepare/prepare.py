"""Writes a kit: small models with references, Llamas without weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from attendant_export.toolchain import versions

from attendant_loadtest.gpu.kit import Kit
from attendant_loadtest.gpu.prepare.hollow import write_hollow_bundle
from attendant_loadtest.gpu.prepare.small import write_small_model
from attendant_loadtest.gpu.shapes import ARCHITECTURES, DRY, DRY_MODELS, DRY_SMALL, DTYPES, FULL, MODELS


def prepare(out: Path, *, dry_run: bool, progress: Callable[[str], None]) -> Kit:
    """Write a kit to ``out``, an empty folder or none.

    Args:
        dry_run: a small one, of bundles that a processor can run.
    """
    sizes = DRY if dry_run else FULL
    models = DRY_SMALL if dry_run else tuple(itertools.product(ARCHITECTURES, DTYPES))
    llamas = DRY_MODELS if dry_run else MODELS
    (out / "small").mkdir(parents=True)
    small = []
    for name, dtype in models:
        progress(f"exporting {name} in {dtype}")
        small.append(write_small_model(name, dtype, out / "small", sizes, reference=dry_run))
    bundles = {}
    for name in sizes.models:
        progress(f"tracing a Llama of {name}")
        bundles[name] = f"hollow/llama-{name}"
        write_hollow_bundle(llamas[name], out / bundles[name], f"llama-{name}", reference=dry_run)
    kit = Kit(out, dry_run, sizes, tuple(small), bundles, versions())
    kit.save()
    return kit
