"""Reads the model to export: a local folder in the Hugging Face format, or a hub id fetched into one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attendant_export.decoders.architectures import check_config, check_model
from attendant_export.errors import SourceError, SourceNotFound, reading
from attendant_export.source.formats import check_folder
from attendant_export.source.json_files import read_json as read_json
from attendant_export.words import Words, read_words

_SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.safetensors"]


@dataclass(frozen=True)
class LoadedSource:
    """A model ready to trace, and what else its folder says.

    Attributes:
        model: transformers causal language model, float32, eager attention, in eval mode.
        words: its tokenizer and chat templates.
        tokenizer_config: content of tokenizer_config.json, or {}.
        source_id: hub id, or the folder's name. revision: hub commit, or None.
    """

    model: Any
    words: Words
    tokenizer_config: dict[str, Any]
    source_id: str
    revision: str | None


def resolve(source: str, revision: str | None = None) -> tuple[Path, str, str | None]:
    """The local folder of ``source``, its id and its revision. A hub id is fetched (or found in the hub's cache).

    Raises:
        SourceNotFound: neither a model folder nor a hub id that can be fetched.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        check_folder(folder)
        return folder, folder.resolve().name, revision
    if folder.exists():
        raise SourceNotFound(f"{folder} is a file; a source is a model folder or a hub id")
    if folder.is_absolute() or source.startswith(("./", "../", "~")) or source.count("/") > 1:
        raise SourceNotFound(f"{folder} does not exist")
    return _fetch(source, revision)


def load(source: str, revision: str | None = None) -> LoadedSource:
    """Loads the model and reads the files around it.

    Raises:
        SourceError: not there, unreadable, incomplete, or without a tokenizer.
        UnsupportedModel: the config says that it cannot become a decoder graph.
    """
    folder, source_id, found_revision = resolve(source, revision)
    config = read_json(folder / "config.json")
    check_config(config)
    tokenizer_config = read_json(folder / "tokenizer_config.json", missing_ok=True)
    words = read_words(folder)  # before the weights: a missing tokenizer is told at once
    model = pretrained(folder, "AutoModelForCausalLM")
    check_model(model)
    return LoadedSource(
        model=model,
        words=words,
        tokenizer_config=tokenizer_config,
        source_id=source_id,
        revision=found_revision,
    )


def _fetch(source: str, revision: str | None) -> tuple[Path, str, str | None]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=_SMALL_FILES))
        if not any(folder.glob("*.safetensors")):
            patterns = [*_SMALL_FILES, "*.bin"]
            folder = Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise SourceNotFound(f"{source!r} is neither a folder nor a valid hub id") from error
    except LocalEntryNotFoundError as error:
        raise SourceNotFound(f"{source!r} is not a folder, and no model hub can be reached to fetch it from") from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceNotFound(f"{source!r} is not a folder, and fetching it from the hub failed: {reason}") from error
    check_folder(folder)
    return folder, source, folder.name


def pretrained(folder: Path, auto_class: str, optional: tuple[str, ...] = ()) -> Any:
    """The model of a folder in float32, eager, eval.

    Args:
        auto_class: name of a class of transformers, e.g. ``AutoModelForCausalLM``.
        optional: parts of names of tensors that may be missing, because the graph does not read them.

    Raises:
        SourceError: weights are missing or cannot be read.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # the exporter tells its own progress
    with reading(f"{folder}: the model cannot be loaded"):
        model, info = getattr(transformers, auto_class).from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, by name
        )
    _check_sizes(folder, info)
    missing = sorted(name for name in info["missing_keys"] if not any(part in name for part in optional))
    if missing:  # transformers would fill them with random numbers
        raise SourceError(f"{folder}: the weights lack {len(missing)} tensors of the model, first {missing[0]!r}")
    return model.eval()


def _check_sizes(folder: Path, info: dict[str, Any]) -> None:
    mismatched = sorted(info.get("mismatched_keys") or ())
    if mismatched:
        name, found, wanted = mismatched[0]
        raise SourceError(
            f"{folder}: {len(mismatched)} tensors do not have the sizes that config.json asks for, first {name!r}: "
            f"{list(found)} in the file, {list(wanted)} by the config"
        )
