"""Weights as the kernels of this machine want them, in files that all who serve them map instead of copying them."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import onnxruntime as ort

from attendant.runtime.libraries import processor
from attendant.runtime.run_error import ORT_ERRORS

logger = logging.getLogger(__name__)

_FAILS: tuple[type[Exception], ...] = (OSError, *ORT_ERRORS)
_FORMAT = "1"
"""Of what is written here; another one is written anew."""
_UNFINISHED = ".unfinished-"
_LEFT_S = 3600
"""Seconds after which nobody is still writing."""


class PreparedWeights:
    """The prepared graphs of one bundle, in ``folder``, where those of others are, too.

    ONNX Runtime maps the weights of a bundle, but packs those of most products anew for each session, in memory of its
    own. Here it packs them once, into a file; every session of every version and every server that has the same graph
    maps that. A graph is prepared for one kind of processor and one version of ONNX Runtime.

    Args:
        digest: of all that the bundle's graphs are made of. Two bundles that agree in it share.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder = folder
        self._digest = digest

    def find(self, graph: Path, write: Callable[[Path], None]) -> Path | None:
        """The prepared graph, which ``write`` writes to a path if it is not there yet. None, and a warning in the log,
        if that is not possible: then the bundle's own will do."""
        place = self._folder / self._key(graph.name)
        try:
            if not place.is_dir():
                self._make(place, graph.name, write)
        except _FAILS as error:
            logger.warning("%s is served from its bundle, since it cannot be prepared in %s: %s", graph, place, error)
            return None
        return place / graph.name

    def drop(self, graph: Path) -> None:
        """What is there cannot be used: it is written anew the next time."""
        shutil.rmtree(self._folder / self._key(graph.name), ignore_errors=True)

    def _key(self, name: str) -> str:
        parts = (_FORMAT, name, self._digest, ort.__version__, processor("cpu"))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _make(self, place: Path, name: str, write: Callable[[Path], None]) -> None:
        """It is there as a whole or not at all, however many servers try at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._clear()
        unfinished = self._folder / f"{_UNFINISHED}{uuid4().hex}"
        unfinished.mkdir()  # who may read it is as usual: servers of other users may map it
        try:
            write(unfinished / name)
            unfinished.rename(place)
        except OSError:
            if not place.is_dir():  # another server was quicker otherwise
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _clear(self) -> None:
        """Remove what servers left that were killed while they wrote."""
        for folder in self._folder.glob(f"{_UNFINISHED}*"):
            with suppress(OSError):  # another server removed it just now
                if time.time() - folder.stat().st_mtime > _LEFT_S:
                    shutil.rmtree(folder)
