"""``python -m attendant_demo.build OUT``: compose, train, evaluate, save, export. Minutes on two cores."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from attendant.bundle import read_manifest
from attendant_export.export import export_bundle
from attendant_export.progress import on_stderr
from attendant_export.recipe import Recipe
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from attendant_demo import evaluate
from attendant_demo.command import BUNDLE_FOLDER, Amount, Report, Tell, read_report, run, write_report
from attendant_demo.dialogues import Composer, Dialogue
from attendant_demo.generate import Answerer, bundle_answerer, torch_answerer
from attendant_demo.labels import Labeller
from attendant_demo.tokenizer import train_tokenizer
from attendant_demo.train import TrainSettings, build_model, encode, mean_loss, train

MODEL_FOLDER = "attendant-demo"
_EVALUATION_SEED = 1
_TOKENIZER_DIALOGUES = 20_000


def build(out: Path, settings: TrainSettings, tell: Tell, *, reuse: bool = False) -> Report:
    """Make the model folder, the bundle and the report in ``out``; returns the report.

    ``reuse`` takes the model that an earlier build left in ``out`` and exports and evaluates it again.
    """
    folder, bundle = out / MODEL_FOLDER, out / BUNDLE_FOLDER
    if reuse:
        model, tokenizer = LlamaForCausalLM.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
        report = read_report(out)
    else:
        model, tokenizer, report = make_model(folder, settings, tell)
        write_report(out, report)
    tell("export: int8")
    export_bundle(folder, bundle, recipe=Recipe(precision="int8"), name="demo", overwrite=True, progress=on_stderr)
    drills, dialogues = _training_dialogues(settings)
    report |= measure(model, tokenizer, bundle, evaluate.normal_questions([*drills, *dialogues]), tell)
    write_report(out, report)
    return report


def _training_dialogues(settings: TrainSettings) -> tuple[list[Dialogue], list[Dialogue]]:
    composer = Composer("train", settings.seed)
    return list(composer.drills(settings.num_drills)), list(composer.dialogues(settings.num_dialogues))


def make_model(
    folder: Path, settings: TrainSettings, tell: Tell
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, Report]:
    """Compose, train and save a model folder in the Hugging Face format."""
    torch.set_num_threads(settings.num_threads)
    tell(f"compose: {settings.num_dialogues:,} dialogues")
    drills, dialogues = _training_dialogues(settings)
    tokenizer = train_tokenizer(dialogues[:_TOKENIZER_DIALOGUES], settings.vocab_size)
    phases = [list(encode(tokenizer, part, settings.question_weight)) for part in (drills, dialogues)]
    model = build_model(settings, tokenizer)
    report: Report = {
        "settings": asdict(settings),
        "torch_threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "train_dialogues": len(dialogues),
        "train_tokens": sum(len(example.ids) for phase in phases for example in phase),
    }
    tell(f"train: {report['parameters']:,} parameters, {report['train_tokens']:,} tokens")
    started = time.monotonic()
    losses = train(model, phases, settings, tell)
    report["train_seconds"] = round(time.monotonic() - started, 1)
    report["train_loss"] = round(sum(losses[-50:]) / len(losses[-50:]), 4)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer, report


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, bundle: Path, known: set[str], tell: Tell
) -> Report:
    """Held-out loss, and shares of right answers of the torch model and of the bundle."""
    tell("evaluate: held-out loss")
    single = evaluate.held_out(_EVALUATION_SEED, 15, known)
    several = evaluate.held_out_conversations(_EVALUATION_SEED, 200)
    examples = list(encode(tokenizer, [*single, *several], question_weight=0.0))
    pad = int(model.config.pad_token_id)
    manifest = read_manifest(bundle)
    report: Report = {
        "held_out_loss": round(mean_loss(model, examples, 3072, pad), 4),
        "bundle_bytes": sum(file.stat().st_size for file in bundle.iterdir()),
        "bundle_parity_cosine": manifest.parity.cosine,
    }
    for name, answer in (("torch_fp32", torch_answerer(model, tokenizer)), ("bundle_int8", bundle_answerer(bundle))):
        tell(f"evaluate: answers of {name}")
        report[name] = _scores(answer, single, several, known)
    return report


def _scores(answer: Answerer, single: list[Dialogue], several: list[Dialogue], known: set[str]) -> Report:
    labeller = Labeller()
    return {
        "held_out_questions": asdict(evaluate.score(evaluate.questions(single), answer, labeller)),
        "held_out_conversations": asdict(evaluate.score(evaluate.questions(several), answer, labeller)),
        "typed_questions": asdict(evaluate.score_typed(answer, labeller, known)),
        "samples": evaluate.samples(answer),
    }


def _show(report: Report) -> None:
    print(json.dumps({key: value for key, value in report.items() if not isinstance(value, dict)}, indent=2))
    for sample in report["bundle_int8"]["samples"]:
        print(f"\n> {sample['question']}\n{sample['answer']}")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    return run(
        build,
        TrainSettings(),
        Amount("dialogues", "training dialogues"),
        prog="attendant_demo.build",
        description=__doc__,
        arguments=arguments,
        show=_show,
    )


if __name__ == "__main__":
    raise SystemExit(main())
