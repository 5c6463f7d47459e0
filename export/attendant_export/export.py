"""An export from source to bundle: finds the task, and goes through the stages of a decoder's export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from attendant.bundle import TOKENIZER_FILE, BundleManifest, EncoderManifest, EncoderTask, Graph, Pooling, Source

from attendant_export import source as sources
from attendant_export.architectures import check_model, context_length
from attendant_export.encoders.export import export_encoder, plan_encoder
from attendant_export.encoders.tasks import task_of
from attendant_export.errors import ExportError
from attendant_export.facts import generation_defaults, special_tokens
from attendant_export.fidelity.windows import leading_tokens
from attendant_export.graphs import write_graphs
from attendant_export.progress import Progress, silent
from attendant_export.recipe import GENERATE, Recipe, RecipeRequest
from attendant_export.seq2seq.export import answer_recipe, export_answers
from attendant_export.seq2seq.source import is_encoder_decoder, load_answers
from attendant_export.toolchain import exporter_version, versions
from attendant_export.verify import Words, verify
from attendant_export.writer import bundle_folder, check_output, file_entries, write_manifest


def export_bundle(
    source: str | Path,
    out: Path,
    *,
    recipe: Recipe | RecipeRequest | None = None,
    task: str | None = None,
    pooling: Pooling | None = None,
    name: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BundleManifest | EncoderManifest:
    """Exports a model folder or hub id to a bundle at ``out`` and returns its manifest.

    Args:
        recipe: fp32 for a CPU by default.
        task: one of :data:`attendant_export.encoders.tasks.TASKS`; by default what the model was made for.
        pooling: of task embed; by default what the model's folder says, or the mean.

    Raises:
        ExportError: see :mod:`attendant_export.errors`; nothing is left at or beside ``out`` but what was there.
    """
    check_output(out, overwrite=overwrite)
    folder, source_id, found_revision = sources.resolve(str(source), revision)
    found = task_of(folder, task)
    answers_sources = found == GENERATE and is_encoder_decoder(sources.read_json(folder / "config.json"))
    asked = recipe or Recipe()
    recipe = answer_recipe(asked) if answers_sources else asked.for_task(found)
    name = name or source_id.rsplit("/", 1)[-1]
    about = Source(id=source_id, revision=found_revision, versions=versions())
    if found != GENERATE:
        with progress("load"):
            plan = plan_encoder(folder, cast(EncoderTask, found), pooling)
        name = bundle_name(name)
        return export_encoder(plan, out, name=name, recipe=recipe, source=about, overwrite=overwrite, progress=progress)
    if pooling is not None:
        raise ExportError(f"task {found} has no pooling; only embed has")
    if answers_sources:
        with progress("load"):
            answers = load_answers(folder)
        name = bundle_name(name)
        return export_answers(
            answers, out, name=name, recipe=recipe, about=about, overwrite=overwrite, progress=progress
        )
    with progress("load"):
        loaded = sources.load(str(source), revision)
    return export_model(
        loaded.model,
        loaded.tokenizer_json,
        out,
        recipe=recipe,
        name=name,
        source=about,
        chat_template=loaded.chat_template,
        tokenizer_config=loaded.tokenizer_config,
        overwrite=overwrite,
        progress=progress,
    )


def export_model(
    model: Any,
    tokenizer_json: str,
    out: Path,
    *,
    recipe: Recipe | None = None,
    name: str | None = None,
    source: Source | None = None,
    chat_template: str | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> BundleManifest:
    """Exports a transformers causal language model (float32, eager attention) that is in memory.

    Args:
        recipe: target, precision and KV cache; fp32 for a CPU by default.
        tokenizer_json: content of a tokenizer.json.
        name: of the bundle; by default the name of ``out``.
        tokenizer_config: content of a tokenizer_config.json, for the special tokens a config leaves out.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    from tokenizers import Tokenizer

    recipe = recipe or Recipe()
    check_model(model)
    tokenizer = Tokenizer.from_str(tokenizer_json)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    length = context_length(model)
    name = bundle_name(name or out.absolute().name)
    with bundle_folder(out, overwrite=overwrite) as folder:
        graphs, layers = write_graphs(model, folder, recipe, length, encode, progress)
        graph = graphs["decoder"]
        (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
        with progress("verify"):
            parity = verify(
                model,
                folder / graph.file,
                graph,
                layers,
                recipe=recipe,
                context_length=length,
                words=Words(encode, leading_tokens(tokenizer)),
                prompt_path=folder / graphs["prompt"].file if "prompt" in graphs else None,
            )
        with progress("seal"):
            manifest = BundleManifest(
                name=name,
                task="generate",
                architecture=str(model.config.model_type),
                target=recipe.target,
                precision=recipe.precision,
                cache_layout="pages" if recipe.target == "cuda" else "slots",
                graphs=graphs,
                kv_layers=layers,
                context_length=length,
                vocab_size=_vocab_size(graph),
                special_tokens=special_tokens(model, tokenizer, tokenizer_config or {}),
                generation_defaults=generation_defaults(model),
                chat_template=chat_template,
                files=file_entries(folder),
                parity=parity,
                source=source or Source(id=name, versions=versions()),
                exporter_version=exporter_version(),
            )
            write_manifest(folder, manifest)
    return manifest


def bundle_name(name: str) -> str:
    """``name`` with what a bundle's name may not hold replaced by hyphens."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:128]
    return clean or "model"


def _vocab_size(graph: Graph) -> int:
    width = next(spec.shape[-1] for spec in graph.outputs if spec.name == "logits")
    assert isinstance(width, int)
    return width
