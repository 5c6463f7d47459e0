"""Checks that the exporter's heavy libraries are there, and names the versions it drives."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from attendant_export.errors import ToolchainError

# Young, partly private APIs: other versions may lack or change them. A test holds these to pyproject.toml.
PINNED = {"torch": "2.13.0", "transformers": "5.23.0"}
REPORTED = ("torch", "transformers", "onnx", "onnxscript", "onnx-ir", "onnxruntime")


def internal(module: str, name: str) -> Any:
    """An attribute of a library that its makers may move.

    Raises:
        ToolchainError: it is not there; names it and the versions that have it.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ToolchainError(
            f"the exporter needs {module}.{name}, which is not installed here ({error}); it drives {_pins()}: "
            "pip install 'attendant[export]'"
        ) from error


def versions() -> dict[str, str]:
    """Installed versions of the libraries that shape a graph, for the manifest."""
    found = {}
    for name in REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def exporter_version() -> str:
    """The version of Attendant."""
    try:
        return importlib.metadata.version("attendant")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _pins() -> str:
    return " and ".join(f"{name} {version}" for name, version in PINNED.items())


def check_installed() -> None:
    """Checks, before the slow imports, that the pinned libraries are installed.

    Raises:
        ToolchainError: one is missing or has another version.
    """
    for name, pinned in PINNED.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise ToolchainError(f"{name} is not installed: pip install 'attendant[export]'") from None
        if found.split("+")[0] != pinned:  # torch appends its build, as in 2.13.0+cpu
            raise ToolchainError(f"{name} {found} is installed; the exporter drives {_pins()}")
