"""What can be asked for: a bundle of a model's folder or hub id, or of a decoder in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from attendant.bundle import EncoderTask, GeneratorManifest, Manifest, Origin, Pooling

from attendant_export.attention.choice import AttentionChoice
from attendant_export.auto import Asked, Auto
from attendant_export.decoders.architectures import check_model
from attendant_export.decoders.export import Decoder, Decoders
from attendant_export.decoders.source import DecoderSource
from attendant_export.drafts import Kind, Order, Tell, say_nothing
from attendant_export.encoders.export import Encoders
from attendant_export.encoders.tasks import task_of
from attendant_export.errors import ExportError
from attendant_export.pipeline import export
from attendant_export.progress import Progress, silent
from attendant_export.recipe import GENERATE, Recipe, RecipeRequest
from attendant_export.seq2seq.export import EncoderDecoders
from attendant_export.seq2seq.source import is_encoder_decoder
from attendant_export.source.adapters.files import adapter_warnings
from attendant_export.source.folder import Part, SourceFolder
from attendant_export.source.parts import part_warning
from attendant_export.source.resolving import resolve
from attendant_export.source.unserved import check_served
from attendant_export.toolchain import versions
from attendant_export.words import Words, words_of
from attendant_export.words.formats import check_formats
from attendant_export.writer import check_output


def export_bundle(  # noqa: PLR0913 - the options of an export
    source: str | Path,
    out: Path,
    *,
    recipe: Asked | None = None,
    calibration: str | None = None,
    task: str | None = None,
    pooling: Pooling | None = None,
    context_length: int | None = None,
    name: str | None = None,
    revision: str | None = None,
    adapters: Sequence[Path] = (),
    part: Part | None = None,
    overwrite: bool = False,
    attention: AttentionChoice = "auto",
    tool_format: str | None = None,
    reasoning_format: str | None = None,
    progress: Progress = silent,
    tell: Tell = say_nothing,
) -> Manifest:
    """Exports a model folder or hub id to a bundle at ``out`` and returns its manifest.

    Args:
        recipe: fp32 for a CPU by default; :class:`Auto` tries several.
        calibration: text to calibrate with; by default the exporter's own.
        task: one of :data:`attendant_export.encoders.tasks.TASKS`; by default what the model was made for.
        pooling: of task embed; by default what the model's folder says, or the mean.
        context_length: most tokens of prompt and answer together; by default what the model takes.
        adapters: folders of LoRA adapters, which are merged into the model, one after the other.
        part: "text" for the language model of one that reads images or sound, too.
        attention: which graph gives the model's attention, see :mod:`attendant_export.attention.choice`.
        tool_format, reasoning_format: how the model writes tool calls and reasoning, one of
            :data:`attendant.bundle.TOOL_FORMATS` and ``REASONING_FORMATS``; by default as its templates have it.
        tell: is told warnings, and what :class:`Auto` finds, in lines.

    Raises:
        ExportError: see :mod:`attendant_export.errors`; nothing is left at or beside ``out`` but what was there.
    """
    check_output(out, overwrite=overwrite)
    folder = resolve(str(source), revision, adapters, part)
    check_served(folder.config)
    kind = kind_of(folder, task, pooling)
    asked = recipe or Recipe()
    recipes = kind.recipes(as_stored(asked, folder) if kind.task == GENERATE else asked)
    _check_options(kind, part, pooling, context_length, tool_format, reasoning_format)
    order = Order(
        out,
        bundle_name(name or folder.id.rsplit("/", 1)[-1]),
        calibration=calibration,
        context_length=context_length,
        max_kl=asked.max_kl if isinstance(asked, Auto) else None,
        source=Origin(id=folder.id, revision=folder.revision, versions=versions()),
        quantised=folder.quantised.done if folder.quantised is not None else (),
        merged=tuple(adapter.done for adapter in folder.adapters),
        warnings=_warnings(folder),
        overwrite=overwrite,
        attention=attention,
        tool_format=tool_format,
        reasoning_format=reasoning_format,
        progress=progress,
        tell=tell,
    )
    with progress("load"):
        subject = kind.load(folder)
    return export(subject, recipes, order)


def _check_options(
    kind: Kind,
    part: Part | None,
    pooling: str | None,
    context_length: int | None,
    tool_format: str | None,
    reasoning_format: str | None,
) -> None:
    if context_length is not None and not kind.takes_context_length:
        raise ExportError("a context length is for models that continue their prompt; this one is none")
    if not kind.takes_context_length and (tool_format or reasoning_format):
        raise ExportError("formats of tool calls and reasoning are for models that continue their prompt")
    check_formats(tool_format, reasoning_format)
    if part is not None and not isinstance(kind, Decoders):
        raise ExportError(
            "--part text is for models that read images or sound beside text and continue it; this one is none"
        )
    if pooling is not None and kind.task != "embed":
        raise ExportError(f"task {kind.task} has no pooling; only embed has")


def as_stored(asked: Asked, folder: SourceFolder) -> Asked:
    """``asked``; where it leaves the precision open, the one that keeps the folder's weights as they are stored.

    Adapters change most weights; then it is the usual one.
    """
    checkpoint = folder.quantised
    kept = checkpoint.precision if checkpoint is not None and not folder.adapters else None
    is_open = isinstance(asked, RecipeRequest) and asked.precision is None and asked.target == "cpu"
    if kept is None or not is_open:
        return asked
    assert isinstance(asked, RecipeRequest)
    return replace(asked, precision=kept)


def _warnings(folder: SourceFolder) -> tuple[str, ...]:
    """What of the folder is left out, or not as it says."""
    left_out = [part_warning(folder.config)] if folder.part is not None else []
    of_adapters = (line for each in folder.adapters for line in adapter_warnings(each, folder.path, folder.id))
    return (*left_out, *of_adapters)


def kind_of(folder: SourceFolder, task: str | None = None, pooling: Pooling | None = None) -> Kind:
    """The kind of model that a folder holds, for ``task`` or what it was made for.

    Raises:
        UnsupportedTask: the model cannot be exported for ``task``; says for which it can.
    """
    found = task_of(folder, task)
    if found != GENERATE:
        return Encoders(cast(EncoderTask, found), pooling)
    return EncoderDecoders() if is_encoder_decoder(folder.config) else Decoders()


def export_model(  # noqa: PLR0913 - the options of an export
    model: Any,
    words: Words | str,
    out: Path,
    *,
    recipe: Recipe | Auto | None = None,
    calibration: str | None = None,
    context_length: int | None = None,
    name: str | None = None,
    source: Origin | None = None,
    chat_template: str | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    overwrite: bool = False,
    attention: AttentionChoice = "auto",
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
        attention: which graph gives the model's attention, see :mod:`attendant_export.attention.choice`.
        tell: is told warnings, and what :class:`Auto` finds, in lines.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    check_output(out, overwrite=overwrite)
    check_model(model)
    asked = recipe or Recipe()
    order = Order(
        out,
        bundle_name(name or out.absolute().name),
        calibration=calibration,
        context_length=context_length,
        max_kl=asked.max_kl if isinstance(asked, Auto) else None,
        source=source,
        overwrite=overwrite,
        attention=attention,
        progress=progress,
        tell=tell,
    )
    decoder = Decoder(DecoderSource(model, words_of(words, chat_template), tokenizer_config or {}))
    return export(decoder, Decoders().recipes(asked), order)


def bundle_name(name: str) -> str:
    """``name`` with what a bundle's name may not hold replaced by hyphens."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:128]
    return clean or "model"
