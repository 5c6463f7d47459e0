"""The program that renders callers' own templates, in a process that may be ended: jobs as JSON in, texts out.

A template that takes too long or too much memory takes this process with it, and nothing else.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from attendant.bundle.continuing import ContinuesNot
from attendant.bundle.templates import ChatTemplate, TemplateRefused

MAX_MEMORY = 2**28
"""Bytes that the process may take beside what it has when it starts."""

MAX_TEXT = 2**22
"""Characters of a rendered text."""

HEADER = 8
"""Bytes that say how long a job, or its end, is; then it follows as JSON."""


def main() -> None:
    """Do jobs until there are no more."""
    _limit_memory()
    jobs, ends = sys.stdin.buffer, sys.stdout.buffer
    while (job := _read(jobs)) is not None:
        signal.setitimer(signal.ITIMER_PROF, job["limit_s"])  # its end ends the process, whatever that is doing
        end = json.dumps(_done(job)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        ends.write(len(end).to_bytes(HEADER, "big") + end)
        ends.flush()


def _done(job: Mapping[str, Any]) -> dict[str, Any]:
    """``habits`` of the template, or where the job has a conversation, its ``text``; or what was ``refused``."""
    try:
        template = _template(job["template"], tuple(job["special_tokens"].items()))
        if job["conversation"] is None:
            habits = asdict(template.habits)
            return {"habits": {name: sorted(v) if isinstance(v, frozenset) else v for name, v in habits.items()}}
        text = template.render(**job["conversation"])
    except ContinuesNot as error:
        return {"continues_not": str(error)}
    except TemplateRefused as error:
        return {"refused": str(error)[:1000]}
    if len(text) > MAX_TEXT:
        return {"refused": f"its text has {len(text)} characters; allowed: at most {MAX_TEXT}"}
    return {"text": text}


@lru_cache(maxsize=64)
def _template(source: str, special_tokens: tuple[tuple[str, str], ...]) -> ChatTemplate:
    return ChatTemplate(source, dict(special_tokens))


def _read(jobs: BinaryIO) -> dict[str, Any] | None:
    header = jobs.read(HEADER)
    if len(header) < HEADER:
        return None
    job: dict[str, Any] = json.loads(jobs.read(int.from_bytes(header, "big")))
    return job


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
