"""What a line of the log looks like, for people and for machines."""

from __future__ import annotations

import json
import logging
from typing import Any

from attendant.core.log_lines import NamesCall
from attendant.core.tally import Tally
from attendant.logs.fields import fields_of
from attendant.logs.words import Times, pair, safe

TALLY = "tally"
"""Attribute of a record that is of a request which has ended."""

_call_of = NamesCall()


class TextLines(logging.Formatter):
    """``TIME LEVEL LOGGER: [REQUEST_ID trace TRACE_ID] MESSAGE``; of a request its fields follow as ``name=value``."""

    def __init__(self) -> None:
        super().__init__()
        self._times = Times()

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        tally: Tally | None = getattr(record, TALLY, None)
        begin = f"{self._times.of(record.created)} {record.levelname} {record.name}: "
        if tally is not None:
            fields = fields_of(tally)
            trace = f" trace {tally.trace_id}" if tally.span_id else ""
            for name in ("request_id", *(("trace_id",) if trace else ())):
                del fields[name]
            said = " ".join([pair(name, value) for name, value in fields.items()])
            return f"{begin}[{tally.request_id}{trace}] {record.getMessage()} {said}"
        call = record.__dict__.get("call", "")
        return safe("\n".join([f"{begin}{call}{record.getMessage()}", *_failure(self, record)]))


class JsonLines(logging.Formatter):
    """An object in one line: ``time``, ``level``, ``logger``, ``message``, the call's ids, and ``exception``."""

    def __init__(self) -> None:
        super().__init__()
        self._times = Times()

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        line: dict[str, Any] = {
            "time": self._times.of(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        tally: Tally | None = getattr(record, TALLY, None)
        if tally is not None:
            line |= fields_of(tally)
        else:
            line |= {name: value for name in ("request_id", "trace_id") if (value := record.__dict__.get(name))}
            if failure := _failure(self, record):
                line["exception"] = "\n".join(failure)
        return json.dumps(line, default=str, separators=(",", ":"))


def prepare(record: logging.LogRecord) -> None:
    """Have a record say all that it is to say, where it was made: another thread writes it, later."""
    if hasattr(record, TALLY):
        return
    _call_of.filter(record)
    record.msg, record.args = record.getMessage(), None
    if record.exc_info:
        record.exc_text = record.exc_text or _plain.formatException(record.exc_info)
        record.exc_info = None


_plain = logging.Formatter()


def _failure(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if record.exc_info and not record.exc_text:
        record.exc_text = formatter.formatException(record.exc_info)
    return [part for part in (record.exc_text, record.stack_info) if part]
