"""The stages of an encoder's export, whatever its rows are: plan, trace, rewrite, quantise, write, verify, seal."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx_ir as ir
from attendant.bundle import TOKENIZER_FILE, EncoderManifest, EncoderTask, Graph, Pooling, Source

from attendant_export.calibration_file import check_calibration, encoding
from attendant_export.decoders.graphs import describe
from attendant_export.encoders.passes import rewrite_encoder
from attendant_export.encoders.plan import EncoderPlan
from attendant_export.encoders.projection import projection_model
from attendant_export.encoders.text_plan import TEXT_TASKS, plan_text
from attendant_export.encoders.text_source import load_text
from attendant_export.encoders.trace import trace_encoder
from attendant_export.encoders.verify import verify_encoder
from attendant_export.errors import ExportError
from attendant_export.progress import Progress, silent
from attendant_export.quantisation.quantise import quantise
from attendant_export.recipe import Recipe
from attendant_export.source.folder import SourceFolder
from attendant_export.toolchain import exporter_version, versions
from attendant_export.writer import bundle_folder, file_entries, write_manifest

ENCODER_FILE, PROJECTION_FILE = "encoder.onnx", "projection.onnx"
# Planners of other rows than text: (folder, task) -> EncoderPlan.
_PLANNERS: dict[EncoderTask, tuple[str, str]] = {
    "classify_image": ("attendant_export.encoders.vision", "plan_vision"),
    "embed_image": ("attendant_export.encoders.vision", "plan_vision"),
    "transcribe": ("attendant_export.encoders.audio", "plan_audio"),
}


def plan_encoder(folder: SourceFolder, task: EncoderTask, pooling: Pooling | None = None) -> EncoderPlan:
    """Loads the model of ``folder`` with the head of ``task`` and plans its graph.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    if task in TEXT_TASKS:
        return plan_text(load_text(folder, task, pooling))
    if pooling is not None:
        raise ExportError(f"task {task} has no pooling; only embed has")
    module, name = _PLANNERS[task]
    planner: Callable[[SourceFolder, EncoderTask], EncoderPlan] = getattr(importlib.import_module(module), name)
    return planner(folder, task)


def export_encoder(
    plan: EncoderPlan,
    out: Path,
    *,
    name: str,
    recipe: Recipe | None = None,
    calibration: str | None = None,
    source: Source | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> EncoderManifest:
    """Exports a planned encoder to a bundle at ``out`` and returns its manifest.

    Args:
        calibration: text to calibrate with; by default the exporter's own.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    recipe = (recipe or Recipe()).for_task(plan.task)
    check_calibration(calibration, encoding(plan.tokenizer_json))
    with bundle_folder(out, overwrite=overwrite) as folder:
        graphs, done = _write_graphs(plan, folder, recipe, progress, calibration)
        texts = dict(plan.extra_files or {})
        if plan.tokenizer_json is not None:
            texts[TOKENIZER_FILE] = plan.tokenizer_json
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        with progress("verify"):
            parity = verify_encoder(folder / ENCODER_FILE, plan.cases(), recipe.precision, plan.natural())
        with progress("seal"):
            manifest = EncoderManifest(
                name=name,
                task=plan.task,
                architecture=plan.architecture,
                target=recipe.target,
                precision=recipe.precision,
                recipe=done,
                warnings=plan.warnings,
                graphs=graphs,
                input=plan.input,
                layout=plan.layout,
                labels=plan.labels,
                problem=plan.problem,
                embedding=plan.embedding,
                ctc=plan.ctc,
                files=file_entries(folder),
                parity=parity,
                source=source or Source(id=name, versions=versions()),
                exporter_version=exporter_version(),
            )
            write_manifest(folder, manifest)
    return manifest


def encoder_graph(
    plan: EncoderPlan, recipe: Recipe, progress: Progress = silent, calibration: str | None = None
) -> tuple[ir.Model, tuple[str, ...]]:
    """The finished graph ``encoder`` of a plan, and what quantisation did, in words."""
    spec = plan.spec(recipe.dtype)
    with progress("trace") as step:
        model = trace_encoder(spec, recipe.target, step)
    with progress("rewrite"):
        rewrite_encoder(model, spec.dimensions)
    done: tuple[str, ...] = ()
    if recipe.precision == "int8":
        with progress("quantise") as step:
            done = quantise(model, "int8", plan.sample_runs(calibration), step)
    return model, done


def _write_graphs(
    plan: EncoderPlan, folder: Path, recipe: Recipe, progress: Progress, calibration: str | None
) -> tuple[dict[str, Graph], tuple[str, ...]]:
    graph, done = encoder_graph(plan, recipe, progress, calibration)
    files: dict[str, tuple[str, Any]] = {"encoder": (ENCODER_FILE, graph)}
    if plan.projection is not None:
        files["projection"] = (PROJECTION_FILE, projection_model(plan.projection))
    with progress("write"):
        for name, (file, model) in files.items():
            ir.save(model, folder / file, external_data=f"{file}.data" if name == "encoder" else None)
    return {name: describe(model.graph, file) for name, (file, model) in files.items()}, done
