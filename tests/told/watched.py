"""`python -m tests.told.watched serve ...`: a server that writes down whatever path or address it opens.

Python tells of each by an audit event. Each line of the file that WATCHED names is one, as JSON.
"""

from __future__ import annotations

import json
import os
import sys

VARIABLE = "WATCHED"
EVENTS = (
    "open",
    "os.",
    "shutil.",
    "glob.",
    "pathlib.",
    "tempfile.",
    "socket.",
    "subprocess.",
    "urllib.",
    "ctypes.dlopen",
)
"""What is written down: by the beginnings of their names. `os.` has no event for stat."""


def watch() -> None:
    """Has Python tell of events from now on."""
    out = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event.startswith(EVENTS):
            os.write(out, json.dumps([event, [str(each)[:2000] for each in args[:3]]]).encode() + b"\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    from attendant.cli import main

    watch()
    sys.exit(main(sys.argv[1:]))
