"""``python -m attendant_demo.translator.build OUT``: compose, train, save, export, evaluate. Takes minutes."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import torch
from attendant.bundle import read_manifest
from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe
from transformers import MarianMTModel, PreTrainedTokenizerFast

from attendant_demo.command import BUNDLE_FOLDER, Amount, Report, Tell, read_report, run, write_report
from attendant_demo.translator import evaluate
from attendant_demo.translator.composer import Composer
from attendant_demo.translator.train import TrainSettings, build_model, train
from attendant_demo.translator.translate import bundle_translator, torch_translator
from attendant_demo.translator.vocabulary import train_tokenizer

MODEL_FOLDER = "attendant-translator"
_TOKENIZER_EXAMPLES = 30_000


def build(out: Path, settings: TrainSettings, tell: Tell, *, reuse: bool = False) -> Report:
    """Make the model folder, the bundle and the report in ``out``; returns the report.

    ``reuse`` takes the model that an earlier build left in ``out`` and exports and evaluates it again.
    """
    folder, bundle = out / MODEL_FOLDER, out / BUNDLE_FOLDER
    torch.set_num_threads(settings.num_threads)
    if reuse:
        model, tokenizer = MarianMTModel.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
        report = read_report(out)
    else:
        model, tokenizer, report = make_model(folder, settings, tell)
        write_report(out, report)
    tell("export: int8")
    recipe = Recipe(precision="int8")
    export_bundle(folder, bundle, recipe=recipe, name="translator", overwrite=True, progress=on_stderr)
    report |= {
        "bundle_bytes": sum(file.stat().st_size for file in bundle.iterdir()),
        "bundle_parity_cosine": read_manifest(bundle).parity.cosine,
    }
    translators = {"torch_fp32": torch_translator(model, tokenizer), "bundle_int8": bundle_translator(bundle)}
    for name, translate in translators.items():
        tell(f"evaluate: {name}")
        report[name] = evaluate.scores(translate)
    write_report(out, report)
    return report


def make_model(
    folder: Path, settings: TrainSettings, tell: Tell
) -> tuple[MarianMTModel, PreTrainedTokenizerFast, Report]:
    """Compose, train and save a model folder in the Hugging Face format."""
    tell(f"compose: {settings.num_examples:,} and {settings.num_polish:,} examples")
    examples = list(Composer("train", settings.seed).examples(settings.num_examples))
    more = list(Composer("train", settings.seed + 1).examples(settings.num_polish))
    tokenizer = train_tokenizer(examples[:_TOKENIZER_EXAMPLES], settings.vocab_size)
    model = build_model(settings, tokenizer)
    report: Report = {
        "settings": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    tell(f"train: {report['parameters']:,} parameters")
    started = time.monotonic()
    train(model, tokenizer, examples, settings, tell)
    losses = train(model, tokenizer, more, settings.polish(), tell)
    report["train_seconds"] = round(time.monotonic() - started, 1)
    report["train_loss"] = round(sum(losses[-50:]) / len(losses[-50:]), 4)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer, report


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    return run(
        build,
        TrainSettings(),
        Amount("examples", "training examples"),
        prog="attendant_demo.translator.build",
        description=__doc__,
        arguments=arguments,
    )


if __name__ == "__main__":
    raise SystemExit(main())
