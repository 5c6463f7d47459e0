"""``python -m attendant_demo.sentiment.build OUT``: compose, train, save, export, evaluate. Takes minutes."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import torch
from attendant.bundle import read_any_manifest
from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe
from transformers import DistilBertForSequenceClassification, PreTrainedTokenizerFast

from attendant_demo.command import BUNDLE_FOLDER, Amount, Report, Tell, read_report, run, write_report
from attendant_demo.sentiment import evaluate
from attendant_demo.sentiment.classify import bundle_classifier, torch_classifier
from attendant_demo.sentiment.model import TrainSettings, build_model, mean_loss, train
from attendant_demo.sentiment.reviews import Review, Reviewer, held_out
from attendant_demo.sentiment.vocabulary import train_tokenizer

MODEL_FOLDER = "attendant-sentiment"
_EVALUATION_SEED, _HELD_OUT = 1, 3_000


def build(out: Path, settings: TrainSettings, tell: Tell, *, reuse: bool = False) -> Report:
    """Make the model folder, the bundle and the report in ``out``; returns the report.

    ``reuse`` takes the model that an earlier build left in ``out`` and exports and evaluates it again.
    """
    folder, bundle = out / MODEL_FOLDER, out / BUNDLE_FOLDER
    torch.set_num_threads(settings.num_threads)
    tell(f"compose: {settings.num_drills + settings.num_reviews:,} reviews")
    composer = Reviewer("train", settings.seed)
    phases = [list(composer.drills(settings.num_drills)), list(composer.reviews(settings.num_reviews))]
    if reuse:
        model = DistilBertForSequenceClassification.from_pretrained(folder, attn_implementation="eager")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        report = read_report(out)
    else:
        model, tokenizer, report = make_model(folder, phases, settings, tell)
        write_report(out, report)
    tell("export: int8")
    export_bundle(folder, bundle, recipe=Recipe(precision="int8"), name="sentiment", overwrite=True, progress=on_stderr)
    report |= measure(model, tokenizer, bundle, {review.normal() for phase in phases for review in phase}, tell)
    write_report(out, report)
    return report


def make_model(
    folder: Path, phases: list[list[Review]], settings: TrainSettings, tell: Tell
) -> tuple[DistilBertForSequenceClassification, PreTrainedTokenizerFast, Report]:
    """Train and save a model folder in the Hugging Face format."""
    tokenizer = train_tokenizer((review.text for phase in phases for review in phase), settings.vocab_size)
    model = build_model(settings, tokenizer)
    report: Report = {
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
) -> Report:
    """Held-out loss, and shares of reviews that the torch model and the bundle read right."""
    tell("evaluate")
    reviews = held_out(_EVALUATION_SEED, _HELD_OUT, known)
    report: Report = {
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


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    return run(
        build,
        TrainSettings(),
        Amount("reviews", "training reviews, after the drills"),
        prog="attendant_demo.sentiment.build",
        description=__doc__,
        arguments=arguments,
    )


if __name__ == "__main__":
    raise SystemExit(main())
