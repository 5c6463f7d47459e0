"""The exporter's error tree. Every message is one line that says what was wrong and, where it can, what is allowed.

ExportError
├── SourceError                 the model to export cannot be read
│   ├── SourceNotFound          neither a folder nor a hub id that can be fetched
│   ├── TokenizerError          the source has no tokenizer that tokenizer.json can hold
│   └── TemplateError           a chat template cannot be rendered as transformers renders it
├── UnsupportedModel            the model cannot become a graph; names the reason
│   └── UnknownArchitecture     transformers does not know the model type; names near ones
├── UnsupportedTask             the model cannot be exported for the task; names the tasks it allows
├── OutputError                 the bundle cannot be written where it was asked for
│   ├── OutputExists            something is already there
│   └── DiskFull                no space left
├── CalibrationError            the text to calibrate with cannot be read, or is too short
├── ParityError                 the finished graph differs from the source model by more than its precision allows
├── AttentionError              the attention that was asked for cannot be given, or is not the model's
├── CheckpointError             a trained checkpoint of the package index cannot be had
│   ├── UnknownCheckpoint       no checkpoint has this name; names those that there are
│   ├── PackageUnavailable      pip is missing or cannot fetch the package; says why
│   ├── PackageChanged          the index gave another file than the one that was pinned
│   └── CacheError              it cannot be kept in the cache
└── ToolchainError              torch, transformers or onnx are missing, or are not the versions this exporter drives
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MODEL_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_OF_CODE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)
_EXPORTERS = ("/torch/export/", "/torch/_export/", "/torch/onnx/", "/torch/_dynamo/", "/transformers/exporters/")
_LONGEST = 300
_FIELD = re.compile(r"'\w+(Config|Output\w*)' object has no attribute '(\w+)'")


class ExportError(Exception):
    """Base of every error the exporter raises on purpose. ``str(error)`` is what the command line prints."""


class SourceError(ExportError):
    """The source model cannot be read."""


class SourceNotFound(SourceError):
    """The source is neither a local model folder nor a hub id that can be fetched."""


class TokenizerError(SourceError):
    """The source has no tokenizer, or one that tokenizer.json cannot hold."""


class TemplateError(SourceError):
    """A chat template of the source cannot be rendered as transformers renders it."""


class UnsupportedModel(ExportError):
    """The model cannot be exported as a decoder graph.

    Args:
        architecture: the config's ``model_type``.
        reason: what in the model is not supported.
    """

    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(f"cannot export {architecture!r}: {reason}")
        self.architecture = architecture
        self.reason = reason


class MaskRead(AttributeError):
    """Code of a model computes with its attention mask, of which a trace has only a description."""

    def __init__(self) -> None:
        super().__init__("it computes with its attention mask itself, so that no kernel can take the mask's place")


class UnknownArchitecture(UnsupportedModel):
    """transformers has no causal language model of this model type."""

    def __init__(self, architecture: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(architecture, list(known), n=5, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(architecture, f"transformers knows no causal language model of this type{hint}")
        self.near = tuple(near)


class UnsupportedTask(ExportError):
    """The model cannot be exported for a task.

    Args:
        architecture: the model's class. asked: the task, or None where it was to be detected.
        allowed: the tasks that the architecture has.
    """

    def __init__(self, architecture: str, asked: str | None, allowed: Iterable[str]) -> None:
        tasks = tuple(allowed)
        what = f"for task {asked!r}" if asked is not None else "for any task"
        hint = f"; its tasks: {', '.join(tasks)}" if tasks else ""
        super().__init__(f"{architecture} cannot be exported {what}{hint}")
        self.allowed = tasks


class OutputError(ExportError):
    """The bundle cannot be written."""


class OutputExists(OutputError):
    """Something is already at the place of the bundle, and it may not be replaced."""


class DiskFull(OutputError):
    """The file system of the bundle has no space left."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left on the file system of {path}; nothing was written there")


class CalibrationError(ExportError):
    """The text to calibrate with cannot be read, or is too short."""


class AttentionError(ExportError):
    """The bundle cannot give the attention that was asked for, or gives another than the source model's."""


class ParityError(ExportError):
    """The exported graph differs from the source model by more than its precision allows."""


class CheckpointError(ExportError):
    """A trained checkpoint of the package index cannot be had."""


class UnknownCheckpoint(CheckpointError):
    """No checkpoint has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no checkpoint {name!r}; there are: {', '.join(known)}")


class PackageUnavailable(CheckpointError):
    """The package of a checkpoint cannot be fetched.

    Args:
        requirement: the package, as pip names it. reason: what stood in the way.
    """

    def __init__(self, requirement: str, reason: str) -> None:
        super().__init__(f"{requirement} cannot be fetched: {reason}")


class PackageChanged(CheckpointError):
    """The index gave another file than the one that was pinned.

    Args:
        found, pinned: SHA-256 in hexadecimal digits.
    """

    def __init__(self, file: str, found: str, pinned: str) -> None:
        super().__init__(f"{file} has SHA-256 {found}, but {pinned} is pinned: it is not the file that was tested")


class CacheError(CheckpointError):
    """The cache cannot be written."""


class ToolchainError(ExportError):
    """A library of the exporter is missing or has another version than the one it drives."""


@contextmanager
def failures_of(architecture: str) -> Iterator[None]:
    """What modelling code, torch.export and torch.onnx raise over a model that cannot be traced, as one typed error."""
    try:
        yield
    except ImportError as error:
        raise UnsupportedModel(architecture, f"a package is missing: {first_line(error)}") from error
    except MaskRead as error:
        raise UnsupportedModel(architecture, str(error)) from error
    except _MODEL_FAILURES as error:
        missing = _FIELD.search(str(error)) if isinstance(error, AttributeError) else None
        if missing is not None:
            where = "config" if missing[1] == "Config" else "output"
            raise UnsupportedModel(architecture, f"its {where} has no {missing[2]}, which is needed") from error
        what = "its code cannot be traced to a graph" if _is_tracing(error) else "its code fails on sample inputs"
        reason = f"{what} ({type(error).__name__}: {first_line(error)}); --debug shows where"
        raise UnsupportedModel(architecture, reason) from error


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What transformers, safetensors and torch raise over files that do not make a model, as one typed error.

    Args:
        what: the file or folder, and what could not be done; the reason follows.

    Raises:
        SourceError: with that reason in one line.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        raise SourceError(f"{what}: a package is missing: {first_line(error)}") from error
    except StrictDataclassError as error:  # "Validation error for field 'x':", and the reason under it
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SourceError(f"{what}: config.json: {' '.join(lines[:2])}") from error
    except (*_MODEL_FAILURES, OSError, EOFError, SafetensorError) as error:
        raise SourceError(f"{what}: {_reason(error)}") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _reason(error: BaseException) -> str:
    """One line; with the kind of error where that alone makes sense of it."""
    if isinstance(error, KeyError):
        return f"transformers does not know {first_line(error)}, which its config.json names"
    return f"{type(error).__name__}: {first_line(error)}" if isinstance(error, _OF_CODE) else first_line(error)


def _is_tracing(error: BaseException) -> bool:
    """Whether an error came from torch's exporters and not from the model's own code run plainly."""
    trace = error.__traceback__
    while trace is not None:
        if any(part in trace.tb_frame.f_code.co_filename.replace("\\", "/") for part in _EXPORTERS):
            return True
        trace = trace.tb_next
    return False
