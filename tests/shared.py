"""What the tests of one run make once: a folder by its name, whichever worker or module comes first."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = "TESTS_SHARED_FOLDER"
"""Where the first process of a run tells its workers of the folder."""


def begin() -> Path | None:
    """Makes the folder of a run, and returns it for :func:`end`; None in a worker, which has its run's."""
    if VARIABLE in os.environ:
        return None
    folder = Path(tempfile.mkdtemp(prefix="attendant-tests-"))
    os.environ[VARIABLE] = str(folder)
    return folder


def end(folder: Path | None) -> None:
    """Removes what :func:`begin` made."""
    if folder is not None:
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(folder, ignore_errors=True)


def copy_of(name: str, make: Callable[[Path], object], out: Path) -> Path:
    """Copies the folder of a name to ``out``, which does not exist yet, and returns it. Outside a run it is made there.

    Args:
        name: says all that the folder's content depends on.
        make: fills a folder that does not exist yet; called by whoever needs that name first. The others wait.
    """
    if VARIABLE not in os.environ:
        make(out)
        return out
    kept = Path(os.environ[VARIABLE]) / hashlib.sha256(name.encode()).hexdigest()[:24]
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            started = kept.with_suffix(".new")
            shutil.rmtree(started, ignore_errors=True)
            make(started)
            started.rename(kept)
    shutil.copytree(kept, out)
    return out
