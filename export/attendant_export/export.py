"""An export from source to bundle: finds the task, and goes through the stages of a decoder's export."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, cast

from attendant.bundle import EncoderManifest, EncoderTask, GeneratorManifest, Pooling, Source

from attendant_export.auto import Auto, Tell, fastest, say_nothing
from attendant_export.calibration_file import check_calibration
from attendant_export.decoders.architectures import check_model
from attendant_export.decoders.export import DecoderExport
from attendant_export.decoders.source import load_decoder
from attendant_export.encoders.export import export_encoder, plan_encoder
from attendant_export.encoders.tasks import task_of
from attendant_export.errors import ExportError, failures_of
from attendant_export.progress import Progress, silent
from attendant_export.recipe import ENCODER_PRECISIONS, GENERATE, PRECISIONS, Recipe, RecipeRequest
from attendant_export.seq2seq.export import answer_recipe, export_answers
from attendant_export.seq2seq.source import is_encoder_decoder, load_answers
from attendant_export.source.resolving import resolve
from attendant_export.source.unserved import check_served
from attendant_export.toolchain import versions
from attendant_export.words import Words, words_of
from attendant_export.words.known_tokens import known_rows, prompt_ids, unknown_tokens
from attendant_export.writer import check_output


def export_bundle(  # noqa: PLR0913 - the options of an export
    source: str | Path,
    out: Path,
    *,
    recipe: Recipe | RecipeRequest | Auto | None = None,
    calibration: str | None = None,
    task: str | None = None,
    pooling: Pooling | None = None,
    context_length: int | None = None,
    name: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    tell: Tell = say_nothing,
) -> GeneratorManifest | EncoderManifest:
    """Exports a model folder or hub id to a bundle at ``out`` and returns its manifest.

    Args:
        recipe: fp32 for a CPU by default; :class:`Auto` tries several.
        calibration: text to calibrate with; by default the exporter's own.
        task: one of :data:`attendant_export.encoders.tasks.TASKS`; by default what the model was made for.
        pooling: of task embed; by default what the model's folder says, or the mean.
        context_length: most tokens of prompt and answer together; by default what the model takes.
        tell: is told warnings, and what :class:`Auto` finds, in lines.

    Raises:
        ExportError: see :mod:`attendant_export.errors`; nothing is left at or beside ``out`` but what was there.
    """
    check_output(out, overwrite=overwrite)
    folder = resolve(str(source), revision)
    check_served(folder.config)
    found = task_of(folder, task)
    answers_sources = found == GENERATE and is_encoder_decoder(folder.config)
    recipes = _recipes(recipe or Recipe(), found, answers_sources)
    max_kl = recipe.max_kl if isinstance(recipe, Auto) else None
    if context_length is not None and (found != GENERATE or answers_sources):
        raise ExportError("a context length is for models that continue their prompt; this one is none")
    name = name or folder.id.rsplit("/", 1)[-1]
    about = Source(id=folder.id, revision=folder.revision, versions=versions())
    if found != GENERATE:
        with progress("load"), failures_of(str(folder.config.get("model_type"))):
            plan = plan_encoder(folder, cast(EncoderTask, found), pooling)
        _warn(plan.tokenizer_json, getattr(plan.input, "vocab_size", None), tell)
        encode = partial(export_encoder, plan, out, name=bundle_name(name), calibration=calibration, source=about)
        encode = partial(encode, overwrite=overwrite, progress=progress)
        return encode(recipe=recipes[0]) if max_kl is None else fastest(recipes, lambda each: encode(recipe=each), tell)
    if pooling is not None:
        raise ExportError(f"task {found} has no pooling; only embed has")
    if answers_sources:
        with progress("load"):
            answers = load_answers(folder)
        _warn(answers.tokenizer_json, known_rows(answers.model), tell)
        answer = partial(export_answers, answers, out, name=bundle_name(name), calibration=calibration, max_kl=max_kl)
        answer = partial(answer, about=about, overwrite=overwrite, progress=progress)
        return answer(recipe=recipes[0]) if max_kl is None else fastest(recipes, lambda each: answer(recipe=each), tell)
    with progress("load"):
        loaded = load_decoder(folder)
    return export_model(
        loaded.model,
        loaded.words,
        out,
        recipe=recipe if isinstance(recipe, Auto) else recipes[0],
        calibration=calibration,
        context_length=context_length,
        name=name,
        source=about,
        tokenizer_config=dict(loaded.tokenizer_config),
        overwrite=overwrite,
        progress=progress,
        tell=tell,
    )


def export_model(  # noqa: PLR0913 - the options of an export
    model: Any,
    words: Words | str,
    out: Path,
    *,
    recipe: Recipe | Auto | None = None,
    calibration: str | None = None,
    context_length: int | None = None,
    name: str | None = None,
    source: Source | None = None,
    chat_template: str | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    tell: Tell = say_nothing,
) -> GeneratorManifest:
    """Exports a transformers causal language model (float32, eager attention) that is in memory.

    Args:
        recipe: target, precision and KV cache; fp32 for a CPU by default; :class:`Auto` tries several.
        calibration: text to calibrate with; by default the exporter's own.
        words: the tokenizer and the chat templates; or the content of a tokenizer.json alone.
        name: of the bundle; by default the name of ``out``.
        chat_template: jinja source of the default template, beside a tokenizer.json.
        tokenizer_config: content of a tokenizer_config.json, for the special tokens a config leaves out.
        context_length: most tokens of prompt and answer together; by default what the model takes.
        tell: is told warnings, and what :class:`Auto` finds, in lines.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    recipe = recipe or Recipe()
    check_output(out, overwrite=overwrite)
    check_model(model)
    words = words_of(words, chat_template)
    _warn(words.tokenizer_json, prompt_ids(model), tell)
    job = DecoderExport(
        model=model,
        words=words,
        out=out,
        name=bundle_name(name or out.absolute().name),
        calibration=calibration,
        context_length=context_length,
        source=source,
        tokenizer_config=tokenizer_config or {},
        overwrite=overwrite,
        progress=progress,
        max_kl=recipe.max_kl if isinstance(recipe, Auto) else None,
    )
    check_calibration(calibration, job.encode)
    if not isinstance(recipe, Auto):
        return job.run(recipe, job.trace(recipe))
    recipes = recipe.recipes(PRECISIONS[recipe.target])
    if recipe.target != "cpu":  # their graphs are of different types
        return fastest(recipes, lambda each: job.run(each, job.trace(each)), tell)
    traced = job.trace(recipes[0])
    return fastest(recipes, lambda each: job.run(each, traced.clone()), tell)


def _recipes(asked: Recipe | RecipeRequest | Auto, task: str, answers_sources: bool) -> list[Recipe]:
    """What is to be tried for a model of ``task``, the first first; one of them where no precision is to be found."""
    if isinstance(asked, Auto):
        allowed = PRECISIONS if task == GENERATE and not answers_sources else ENCODER_PRECISIONS
        return asked.recipes(allowed[asked.target], task)
    return [answer_recipe(asked) if answers_sources else asked.for_task(task)]


def _warn(tokenizer_json: str | None, num_rows: int | None, tell: Tell) -> None:
    for line in unknown_tokens(tokenizer_json, num_rows):
        tell(line)


def bundle_name(name: str) -> str:
    """``name`` with what a bundle's name may not hold replaced by hyphens."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:128]
    return clean or "model"
