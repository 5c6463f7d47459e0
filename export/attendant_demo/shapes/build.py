"""``python -m attendant_demo.shapes.build OUT``: draw, train, save, export, evaluate. Minutes on two cores."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe
from transformers import ViTForImageClassification, ViTImageProcessorPil

from attendant_demo.command import BUNDLE_FOLDER, Amount, Report, Tell, read_report, run, write_report
from attendant_demo.shapes.draw import SIZE
from attendant_demo.shapes.evaluate import bundle_classifier, score, torch_classifier
from attendant_demo.shapes.train import TrainSettings, build_model, train

MODEL_FOLDER = "attendant-shapes"


def build(out: Path, settings: TrainSettings, tell: Tell, *, reuse: bool = False) -> Report:
    """Make the model folder, the bundle and the report in ``out``; returns the report.

    ``reuse`` takes the model that an earlier build left in ``out`` and exports and evaluates it again.
    """
    folder, bundle = out / MODEL_FOLDER, out / BUNDLE_FOLDER
    if reuse:
        model, report = ViTForImageClassification.from_pretrained(folder), read_report(out)
    else:
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
    write_report(out, report)
    return report


def make_model(folder: Path, settings: TrainSettings, tell: Tell) -> tuple[ViTForImageClassification, Report]:
    """Draw, train and save a model folder in the Hugging Face format."""
    model = build_model(settings)
    report: Report = {
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
    return run(
        build,
        TrainSettings(),
        Amount("pictures", "training pictures"),
        prog="attendant_demo.shapes.build",
        description=__doc__,
        arguments=arguments,
    )


if __name__ == "__main__":
    raise SystemExit(main())
