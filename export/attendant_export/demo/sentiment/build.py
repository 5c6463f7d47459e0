"""``python -m attendant_export.demo.sentiment.build OUT``: compose, train, save, export, evaluate. Takes minutes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from attendant.bundle import read_any_manifest
from transformers import DistilBertForSequenceClassification, PreTrainedTokenizerFast

from attendant_export.demo.sentiment import evaluate
from attendant_export.demo.sentiment.classify import bundle_classifier, torch_classifier
from attendant_export.demo.sentiment.model import TrainSettings, build_model, mean_loss, train
from attendant_export.demo.sentiment.reviews import Review, Reviewer, held_out
from attendant_export.demo.sentiment.vocabulary import train_tokenizer
from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe

MODEL_FOLDER, BUNDLE_FOLDER, REPORT_FILE = "attendant-sentiment", "bundle", "report.json"
_EVALUATION_SEED, _HELD_OUT = 1, 3_000
Tell = Callable[[str], None]


def build(out: Path, settings: TrainSettings, tell: Tell, *, reuse: bool = False) -> dict[str, Any]:
    """Make the model folder, the bundle and the report in ``out``; returns the report.

    ``reuse`` takes the model that an earlier build left in ``out`` and exports and evaluates it again.
    """
    folder, bundle, report_file = out / MODEL_FOLDER, out / BUNDLE_FOLDER, out / REPORT_FILE
    torch.set_num_threads(settings.num_threads)
    tell(f"compose: {settings.num_drills + settings.num_reviews:,} reviews")
    composer = Reviewer("train", settings.seed)
    phases = [list(composer.drills(settings.num_drills)), list(composer.reviews(settings.num_reviews))]
    report: dict[str, Any]
    if reuse:
        model = DistilBertForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        report = json.loads(report_file.read_text(encoding="utf-8"))
    else:
        model, tokenizer, report = make_model(folder, phases, settings, tell)
        _write(report_file, report)
    tell("export: int8")
    export_bundle(folder, bundle, recipe=Recipe(precision="int8"), name="sentiment", overwrite=True, progress=on_stderr)
    report |= measure(model, tokenizer, bundle, {review.normal() for phase in phases for review in phase}, tell)
    _write(report_file, report)
    return report


def make_model(
    folder: Path, phases: list[list[Review]], settings: TrainSettings, tell: Tell
) -> tuple[DistilBertForSequenceClassification, PreTrainedTokenizerFast, dict[str, Any]]:
    """Train and save a model folder in the Hugging Face format."""
    tokenizer = train_tokenizer((review.text for phase in phases for review in phase), settings.vocab_size)
    model = build_model(settings, tokenizer)
    report: dict[str, Any] = {
        "settings": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_reviews": sum(len(phase) for phase in phases),
    }
    tell(f"train: {report['parameters']:,} parameters")
    started = time.monotonic()
    losses = train(model, tokenizer, phases, settings, tell)
    report["train_seconds"] = round(time.monotonic() - started, 1)
    report["train_loss"] = round(sum(losses[-50:]) / len(losses[-50:]), 4)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer, report


def measure(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    bundle: Path,
    known: set[str],
    tell: Tell,
) -> dict[str, Any]:
    """Held-out loss, and shares of reviews that the torch model and the bundle read right."""
    tell("evaluate")
    reviews = held_out(_EVALUATION_SEED, _HELD_OUT, known)
    report: dict[str, Any] = {
        "held_out_loss": round(mean_loss(model, tokenizer, reviews), 4),
        "bundle_bytes": sum(file.stat().st_size for file in bundle.iterdir()),
        "bundle_parity_cosine": read_any_manifest(bundle).parity.cosine,
    }
    for name, classify in (
        ("torch_fp32", torch_classifier(model, tokenizer)),
        ("bundle_int8", bundle_classifier(bundle)),
    ):
        report[name] = {
            "held_out": asdict(evaluate.score(classify, reviews)),
            "typed": asdict(evaluate.score_typed(classify, known)),
            "samples": evaluate.samples(classify),
        }
    return report


def _write(file: Path, report: dict[str, Any]) -> None:
    file.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m attendant_export.demo.sentiment.build", description=__doc__)
    parser.add_argument("out", type=Path, help=f"folder for {MODEL_FOLDER}/, {BUNDLE_FOLDER}/ and {REPORT_FILE}")
    defaults = TrainSettings()
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=defaults.num_threads, help="part of what makes a run repeatable")
    parser.add_argument("--reviews", type=int, default=defaults.num_reviews, help="training reviews, after the drills")
    parser.add_argument("--no-bfloat16", action="store_true", help="train in float32, for a CPU without bfloat16")
    parser.add_argument("--reuse", action="store_true", help="export and evaluate the model that OUT holds already")
    options = parser.parse_args(arguments)
    settings = replace(
        defaults,
        seed=options.seed,
        num_threads=options.threads,
        num_reviews=options.reviews,
        bfloat16=not options.no_bfloat16,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    report = build(options.out, settings, lambda line: print(line, flush=True), reuse=options.reuse)
    print(json.dumps(report, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
