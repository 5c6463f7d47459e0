"""Tells what a folder is that is no model in the Hugging Face format, before anything is read of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attendant_export.errors import SourceError, SourceNotFound
from attendant_export.source.folder import SourceFolder
from attendant_export.source.gguf.names import first_part
from attendant_export.source.quantised.scheme import scheme_of

_POINTER = b"version https://git-lfs.github.com/spec/"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
_LARGE = (*_WEIGHTS, "*.model", "*.gguf", "*.onnx", "tokenizer.json")
_NAMES = ("config.json", "modules.json")

# What is there instead of a config.json or of weights, and what it is; the first that is there counts.
_KINDS: tuple[tuple[str, str], ...] = (
    ("model_index.json", "a pipeline of diffusers (model_index.json); only single models of transformers are exported"),
    ("consolidated*", "in its maker's own format ({name}); export the same model's folder in the Hugging Face format"),
    ("params.json", "in its maker's own format ({name}); export the same model's folder in the Hugging Face format"),
    ("*.gguf", "GGUF ({name}); give the path of that file"),
    ("*.nemo", "a NeMo archive ({name}); export the same model's folder in the Hugging Face format"),
    ("genai_config.json", "ONNX already, for onnxruntime-genai; export the checkpoint that it was made from"),
    ("*.onnx", "ONNX already ({name}), without the weights of a checkpoint; export the one that it was made from"),
    ("openvino_model.xml", "OpenVINO's ({name}); export the checkpoint that it was made from"),
    ("tf_model.h5", "of TensorFlow ({name}); save it with transformers as safetensors first"),
    ("saved_model.pb", "of TensorFlow ({name}); save it with transformers as safetensors first"),
    ("flax_model*.msgpack", "of Flax ({name}); save it with transformers as safetensors first"),
    ("*.ckpt", "a training checkpoint ({name}); save the model with transformers' save_pretrained first"),
    ("bundle.json", "a bundle already: serve it"),
)


def check_folder(source: SourceFolder) -> None:
    """Refuses what is no whole checkpoint in the Hugging Face format, and says what it is.

    Raises:
        SourceNotFound: no model of transformers is there; says what is.
        SourceError: an adapter, weights of an unknown quantisation, pointers in place of files, or no weights.
    """
    folder = source.path
    check_pointers(folder)
    _check_adapter(source)
    if not any(map(source.has, _NAMES)):
        kind = _kind(folder)
        if kind is not None:
            raise SourceNotFound(f"{folder} is {kind}")
        raise SourceNotFound(f"{folder} has no config.json: it is not a model folder in the Hugging Face format")
    for path in _files(folder, "config.json"):
        scheme_of(path.parent, _content(source, path))
    if not any(True for pattern in _WEIGHTS for _ in _files(folder, pattern)):
        kind = _kind(folder)
        if kind is not None:
            raise SourceError(f"{folder} has no weights of transformers: what it holds is {kind}")
        raise SourceError(f"{folder}: the model cannot be loaded: there are no weights, model.safetensors for example")


def gguf_of(folder: Path) -> Path | None:
    """The GGUF file that a folder holds, or the first of a model's, where it has no weights of another format.

    Raises:
        SourceError: there are several; names them.
    """
    found = sorted(folder.glob("*.gguf"))
    others = any(True for pattern in _WEIGHTS for _ in _files(folder, pattern))
    if not found or others:
        return None
    first = first_part(found)
    if first is not None:
        return first
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise SourceError(f"{folder} holds several GGUF files ({names}); give the path of the one to export")
    return found[0]


def _content(source: SourceFolder, path: Path) -> Mapping[str, Any]:
    """A JSON object, or {}: a file that cannot be read is told by what needs it."""
    try:
        return source.json(path.relative_to(source.path).as_posix(), missing_ok=True)
    except SourceError:
        return {}


def check_pointers(folder: Path) -> None:
    """Refuses a folder in which git-LFS has left pointers in the place of files.

    Raises:
        SourceError: there is one; names it.
    """
    for pattern in _LARGE:
        for path in _files(folder, pattern):
            check_pointer(path)


def check_pointer(path: Path) -> None:
    """Refuses a file that git-LFS has left in the place of another.

    Raises:
        SourceError: it is one.
    """
    with path.open("rb") as file:
        start = file.read(len(_POINTER))
    if start == _POINTER:
        raise SourceError(f"{path} is a pointer of git-LFS, not the file itself; fetch the files with `git lfs pull`")


def _check_adapter(source: SourceFolder) -> None:
    folder, path = source.path, source.path / "adapter_config.json"
    if not path.is_file():
        return
    adapter = _content(source, path)
    kind, base = adapter.get("peft_type") or "PEFT", adapter.get("base_model_name_or_path") or "its base model"
    weights = {each.name for pattern in _WEIGHTS for each in _files(folder, pattern)}
    if any(not name.startswith(("adapter_", "training_args", "optimizer", "rng_state")) for name in weights):
        raise SourceError(
            f"{folder} holds a model's weights and beside them an adapter ({kind}, of {base}), and not which "
            "is meant: take adapter_config.json and adapter_model.safetensors away to export the weights as they are, "
            "and name the folder that you put them in with --adapter to have both merged"
        )
    raise SourceError(
        f"{folder} holds an adapter alone ({kind}), no model: export {base}, and have it merged with --adapter {folder}"
    )


def _kind(folder: Path) -> str | None:
    for pattern, words in _KINDS:
        found = next(iter(sorted(_files(folder, pattern))), None)
        if found is not None:
            return words.format(name=found.relative_to(folder))
    return None


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    """Files of a folder and of the folders in it."""
    return (path for depth in ("", "*/") for path in folder.glob(depth + pattern) if path.is_file())
