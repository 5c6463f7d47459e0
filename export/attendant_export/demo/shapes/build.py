"""``python -m attendant_export.demo.shapes.build OUT``: draw, train, save, export, evaluate. Minutes on two cores."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import ViTForImageClassification, ViTImageProcessorPil

from attendant_export.demo.shapes.draw import SIZE
from attendant_export.demo.shapes.evaluate import bundle_classifier, score, torch_classifier
from attendant_export.demo.shapes.train import TrainSettings, build_model, train
from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe

MODEL_FOLDER, BUNDLE_FOLDER, REPORT_FILE = "attendant-shapes", "bundle", "report.json"
Tell = Callable[[str], None]


def build(out: Path, settings: TrainSettings, tell: Tell) -> dict[str, Any]:
    """Make the model folder, the bundle and the report in ``out``; returns the report."""
    folder, bundle = out / MODEL_FOLDER, out / BUNDLE_FOLDER
    model, report = make_model(folder, settings, tell)
    tell("export: int8")
    manifest = export_bundle(
        folder, bundle, recipe=Recipe(precision="int8"), name="shapes", overwrite=True, progress=on_stderr
    )
    tell("evaluate")
    report |= {
        "bundle_bytes": sum(file.stat().st_size for file in bundle.iterdir()),
        "bundle_parity_cosine": manifest.parity.cosine,
        "torch_fp32": asdict(score(torch_classifier(model))),
        "bundle_int8": asdict(score(bundle_classifier(bundle))),
    }
    (out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def make_model(folder: Path, settings: TrainSettings, tell: Tell) -> tuple[ViTForImageClassification, dict[str, Any]]:
    """Draw, train and save a model folder in the Hugging Face format."""
    model = build_model(settings)
    report: dict[str, Any] = {
        "settings": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    tell(f"train: {report['parameters']:,} parameters, {settings.num_pictures:,} pictures")
    started = time.monotonic()
    losses = train(model, settings, tell)
    report["train_seconds"] = round(time.monotonic() - started, 1)
    report["train_loss"] = round(sum(losses[-50:]) / len(losses[-50:]), 4)
    model.eval()
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return model, report


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m attendant_export.demo.shapes.build", description=__doc__)
    parser.add_argument("out", type=Path, help=f"folder for {MODEL_FOLDER}/, {BUNDLE_FOLDER}/ and {REPORT_FILE}")
    defaults = TrainSettings()
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=defaults.num_threads, help="part of what makes a run repeatable")
    parser.add_argument("--pictures", type=int, default=defaults.num_pictures, help="training pictures")
    options = parser.parse_args(arguments)
    settings = replace(defaults, seed=options.seed, num_threads=options.threads, num_pictures=options.pictures)
    options.out.mkdir(parents=True, exist_ok=True)
    before = torch.get_num_threads()
    try:
        report = build(options.out, settings, lambda line: print(line, flush=True))
    finally:
        torch.set_num_threads(before)
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
