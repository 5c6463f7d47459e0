"""Paths and addresses that somebody might send, and who sees whether they are looked at."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORD = "forbidden"
"""In every path and address that is sent, and in no other."""

_ANY = 0x0FFF  # IN_ALL_EVENTS
_MOST = 1 << 16


def sent(folder: Path) -> tuple[str, ...]:
    """Ways to say where ``folder``, which has :data:`WORD` in its path, has a file; and addresses."""
    path = folder / "secret.txt"
    return (
        str(path),
        os.path.relpath(path),
        f"../models/../../{folder.name}/secret.txt",
        f"file://{path}",
        f"/proc/self/cwd/{os.path.relpath(path)}",
        f"/proc/self/root{path}",
        f"//127.0.0.1/{WORD}/secret.txt",
        f"\\\\127.0.0.1\\{WORD}\\secret.txt",
        f"http://127.0.0.1:9/{WORD}.png",
        f"https://{WORD}.invalid/image.png",
        f"{path}\0.png",
        str(folder),
    )


def events(file: Path) -> list[tuple[str, list[str]]]:
    """What a watched server has written down so far."""
    return [(event, args) for event, args in map(json.loads, file.read_text().splitlines())]


@contextmanager
def looking(folder: Path) -> Iterator[list[str]]:
    """What the kernel says of anybody, in Python or not, who opens or lists the folder or a file in it: filled when
    it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(folder), _ANY) >= 0, os.strerror(ctypes.get_errno())
    found: list[str] = []
    try:
        yield found
        found += _seen(watch)
    finally:
        os.close(watch)


def _seen(watch: int) -> Iterator[str]:
    while True:
        try:
            data = os.read(watch, _MOST)
        except BlockingIOError:
            return
        yield repr(data)
