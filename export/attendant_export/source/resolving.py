"""Finds the model to export: a local folder in the Hugging Face format, a GGUF file, or a hub id, which is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attendant_export.errors import SourceNotFound
from attendant_export.source.adapters.files import read_adapter
from attendant_export.source.folder import Part, SourceFolder
from attendant_export.source.formats import check_folder, check_pointers, gguf_of
from attendant_export.source.gguf.folder import gguf_folder
from attendant_export.source.mistral.folder import is_mistral, mistral_folder

_SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.safetensors"]


def resolve(
    source: str, revision: str | None = None, adapters: Sequence[Path] = (), part: Part | None = None
) -> SourceFolder:
    """The local folder of ``source``. A hub id is fetched (or found in the hub's cache).

    Args:
        adapters: folders of what is merged into the model, one after the other. part: what of it is exported.

    Raises:
        SourceNotFound: neither a model folder nor a hub id that can be fetched.
        SourceError: a folder that holds no model that can be exported; says what it holds.
    """
    return replace(_found(source, revision), adapters=tuple(map(read_adapter, adapters)), part=part)


def _found(source: str, revision: str | None) -> SourceFolder:
    folder = Path(source).expanduser()
    if folder.is_dir():
        file = gguf_of(folder)
        if file is not None:
            return gguf_folder(file)
        found = SourceFolder(folder, folder.resolve().name, revision)
    elif folder.suffix == ".gguf" and folder.exists():
        return gguf_folder(folder)
    elif folder.exists():
        raise SourceNotFound(f"{folder} is a file; a source is a model folder, a file ending in .gguf or a hub id")
    elif folder.is_absolute() or source.startswith(("./", "../", "~")) or source.count("/") > 1:
        raise SourceNotFound(f"{folder} does not exist")
    else:
        found = _fetch(source, revision)
    if is_mistral(found.path):
        check_pointers(found.path)
        return replace(mistral_folder(found.path), id=found.id, revision=found.revision)
    check_folder(found)
    return found


def _fetch(source: str, revision: str | None) -> SourceFolder:
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
    return SourceFolder(folder, source, folder.name)
