"""Runs the checks over a kit, each where it can harm no other, and writes down what they find as it comes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attendant.bundle import read_manifest

from attendant_loadtest.gpu import isolation, machine, parity, serving, speed, static
from attendant_loadtest.gpu.aims import aims
from attendant_loadtest.gpu.fill import fill_bundle
from attendant_loadtest.gpu.kit import Kit
from attendant_loadtest.gpu.shapes import DRY_MODELS, ISOLATED, MODELS
from attendant_loadtest.gpu.worker import Worker, WorkFailed

CHECKS = {1: "parity", 2: "isolation", 3: "speed", 4: "serving"}

_SMALL_S, _LARGE_S = 300.0, 1200.0  # patience with one call

Found = dict[str, Any]
Progress = Callable[[str], None]


def run(kit: Kit, out: Path, checks: Sequence[int], *, minutes: float | None, work: Path, progress: Progress) -> bool:
    """Run checks by number and write ``out`` whenever there is something new.

    Args:
        minutes: that the server is watched for, or as the kit has it. work: a folder for bundles with weights, as
            large as the Llamas.

    Returns:
        Whether all went well.
    """
    found: dict[str, Found] = {}
    results: Found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry_run": kit.dry_run,
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "kit_versions": dict(kit.versions),
        "sizes": dataclasses.asdict(kit.sizes),
        "checks": found,
    }

    def save() -> None:
        results["aims"] = [dataclasses.asdict(aim) | {"met": aim.met} for aim in aims(results)]
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")

    with Worker() as worker:
        runs = _Checks(kit, worker, work, kit.sizes.minutes if minutes is None else minutes, progress, save)
        for number in checks:
            name = CHECKS[number]
            progress(f"check {number}: {name}")
            found[name] = {"ok": False, "finished": False}
            save()
            found[name] |= _guarded(getattr(runs, name), found[name])
            found[name]["finished"] = True
            save()
    return all(check["ok"] for check in found.values())


def _guarded(work: Callable[..., Found], *arguments: Any, **keywords: Any) -> Found:
    """What some work finds, or how it failed: the others go on."""
    try:
        return work(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - supervision point: recorded
        return {"ok": False, "error": str(error) if isinstance(error, WorkFailed) else traceback.format_exc()}


class _Checks:
    """The checks, by name. Each fills what it is given as it goes, and gives ``ok`` in the end."""

    def __init__(
        self, kit: Kit, worker: Worker, work: Path, minutes: float, progress: Progress, save: Callable[[], None]
    ) -> None:
        self._kit = kit
        self._worker = worker
        self._work = work
        self._minutes = minutes
        self._progress = progress
        self._save = save
        self._on_gpu = not kit.dry_run
        self._filled: dict[str, tuple[Path, int]] = {}

    def parity(self, found: Found) -> Found:
        """Check 1."""
        return self._over_small(found, parity.check_parity, {model.name for model in self._kit.small})

    def isolation(self, found: Found) -> Found:
        """Check 2."""
        return self._over_small(found, isolation.check_isolation, {ISOLATED})

    def speed(self, found: Found) -> Found:
        """Check 3."""
        sizes = self._kit.sizes
        found["bandwidth"] = self._large(machine.bandwidth, sizes.copy_bytes, on_gpu=self._on_gpu)
        models: dict[str, Found] = {name: {} for name in sizes.models}
        found["models"] = models
        for name in sizes.models:
            models[name] |= _guarded(self._engines, name, models[name], found["bandwidth"])
        for name in sizes.models:  # behind all engines, so that one process does for all
            self._progress(f"{name}: transformers")
            models[name]["transformers"] = _guarded(self._transformers, name)
            self._save()
        return {"ok": all(model["ok"] and model["transformers"]["ok"] for model in models.values())}

    def serving(self, found: Found) -> Found:
        """Check 4."""
        sizes = self._kit.sizes
        found["model"] = sizes.served
        bundle, _ = self._bundle(sizes.served)
        self._progress(f"{sizes.served}: {sizes.streams} streams for {self._minutes:g} minutes")
        check, patience = serving.check_serving, _LARGE_S + 120 * self._minutes
        return self._worker.fresh(check, bundle, sizes, self._minutes, on_gpu=self._on_gpu, timeout_s=patience)

    def _over_small(self, found: Found, check: Callable[..., Found], names: set[str]) -> Found:
        kit, entries = self._kit, list[Found]()
        found["models"] = entries
        for model in (model for model in kit.small if model.name in names):
            self._progress(f"{model.name} in {model.dtype}")
            entry = _guarded(self._worker.call, check, kit.folder, model, kit.sizes, timeout_s=_SMALL_S)
            entries.append({"architecture": model.name, "dtype": model.dtype, **entry})
            self._save()
        return {"ok": bool(entries) and all(entry["ok"] for entry in entries)}

    def _engines(self, name: str, found: Found, memory: dict[str, float]) -> Found:
        """The engine with and without CUDA graphs."""
        sizes = self._kit.sizes
        bundle, weight_bytes = self._bundle(name)
        kv_bytes = read_manifest(bundle).kv_bytes_per_token()
        found |= {"weight_bytes_per_step": weight_bytes, "kv_bytes_per_position": kv_bytes}
        host = self._worker.fresh(speed.host_work, bundle, sizes, timeout_s=_LARGE_S)
        for key, graphs in (("graphs", True), ("no_graphs", False)):
            self._progress(f"{name}: the engine, CUDA graphs {'on' if graphs else 'off'}")
            engine = _guarded(self._large, speed.measure_engine, bundle, sizes, cuda_graphs=graphs)
            if engine["ok"]:
                speed.add_roofline(engine["decode"], weight_bytes, kv_bytes, memory["bytes_per_s"], host)
            found[key] = engine
            self._save()
        return {"ok": found["graphs"]["ok"] and found["no_graphs"]["ok"]}

    def _transformers(self, name: str) -> Found:
        if importlib.util.find_spec("transformers") is None:
            return {"ok": True, "skipped": "transformers is not installed"}
        shape = (DRY_MODELS if self._kit.dry_run else MODELS)[name]
        measure, patience = static.measure_static, _LARGE_S
        found = self._worker.call(measure, shape, self._kit.sizes, on_gpu=self._on_gpu, timeout_s=patience)
        return {"ok": True, **found}

    def _large(self, measure: Callable[..., Found], *arguments: Any, **keywords: Any) -> Found:
        return {"ok": True, **self._worker.fresh(measure, *arguments, timeout_s=_LARGE_S, **keywords)}

    def _bundle(self, name: str) -> tuple[Path, int]:
        """A Llama with weights, and the bytes of them that a step reads."""
        if name not in self._filled:
            self._progress(f"{name}: making up weights")
            out = self._work / f"llama-{name}"
            shutil.rmtree(out, ignore_errors=True)  # of an earlier try
            self._filled[name] = out, fill_bundle(self._kit.folder / self._kit.llamas[name], out)
        return self._filled[name]
