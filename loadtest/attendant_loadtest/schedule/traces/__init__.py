"""Schedules that somebody wrote down: a reader for each form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attendant_loadtest.schedule.planned import BadSchedule, Schedule
from attendant_loadtest.schedule.traces.burstgpt import read_burstgpt
from attendant_loadtest.schedule.traces.mooncake import read_mooncake
from attendant_loadtest.schedule.traces.native import read_native, write_native

__all__ = ["FORMS", "read_trace", "write_native"]

FORMS: dict[str, Callable[[Path, int | None], Schedule]] = {
    "native": read_native,
    "mooncake": read_mooncake,
    "burstgpt": read_burstgpt,
}


def read_trace(form: str, path: Path, most: int | None = None) -> Schedule:
    """The first ``most`` requests of a file, or all; the first is due at 0.

    Args:
        form: of :data:`FORMS`.

    Raises:
        BadSchedule: names the line that is not of this form.
    """
    try:
        schedule = FORMS[form](path, most)
    except OSError as error:
        raise BadSchedule(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadSchedule(f"{path} is not UTF-8") from None
    if not schedule:
        raise BadSchedule(f"{path} has no requests; allowed: one at least")
    return schedule
