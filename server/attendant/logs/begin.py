"""The log of a process, from its begin to its end."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from attendant.logs.lines import JsonLines, TextLines
from attendant.logs.words import Times
from attendant.logs.writer import LogHandler
from attendant.settings import LogsSettings

logger = logging.getLogger("attendant")

_STANDARD_ERROR = 2


def begin_log(settings: LogsSettings, level: str) -> None:
    """Write everything that is said in this process, by whatever library, to standard error: warnings, and exceptions
    that nobody caught, too. ``level``: of what this server says; libraries speak up for warnings only."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line has them
    lines = JsonLines() if settings.format == "json" else TextLines()
    logging.basicConfig(handlers=[LogHandler(lines, _STANDARD_ERROR)])
    logging.getLogger("attendant").setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _on_exception
    threading.excepthook = _on_threads_exception


def announce(text: str, settings: LogsSettings, **fields: Any) -> None:
    """Say something on standard output, as text or as an object with ``fields`` besides. That nobody reads it is no
    error."""
    if settings.format == "json":
        said = {"time": Times().of(time.time()), "level": "info", "logger": logger.name, "message": text, **fields}
        text = json.dumps(said, separators=(",", ":"))
    else:
        text = f"attendant: {text}"
    with suppress(OSError):
        print(text, flush=True)


def _on_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    logger.critical("the server ends: %s", kind.__name__, exc_info=(kind, error, traceback))


def _on_threads_exception(told: threading.ExceptHookArgs) -> None:
    if told.exc_type is SystemExit or told.exc_value is None:
        return
    name = told.thread.name if told.thread is not None else "that is gone"
    logger.error("thread %s ended", name, exc_info=(told.exc_type, told.exc_value, told.exc_traceback))
