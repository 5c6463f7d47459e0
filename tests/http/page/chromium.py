"""Chromium: that of the machine, or Debian's with the libraries that it lacks, fetched once and kept beside the trained
checkpoints; driven by playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

FLAGS = (
    "--no-sandbox",  # it is root's in a container, and loads nothing but our own page
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
FONT = "fonts-inter"
"""What pictures are set in, where it can be had: a system of today has a font like it, a bare container has not."""


class Unavailable(Exception):
    """It cannot be had; says why."""


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium. Skips the test where it cannot be had."""
    try:
        program, environment = _program()
    except Unavailable as error:
        pytest.skip(str(error))
    with _launched(program, environment) as launched:
        yield launched


@contextmanager
def browser_for_pictures(scratch: Path) -> Iterator[Browser]:
    """The same, in which a page is set in FONT. ``scratch`` takes a file. Raises Unavailable."""
    program, environment = _program()
    fonts = scratch / "fonts.conf"
    folder = fetched(FONT) / "usr" / "share" / "fonts"
    text = f'<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir>'
    fonts.write_text(f"<fontconfig>{text}</fontconfig>", encoding="utf-8")
    with _launched(program, {**environment, "FONTCONFIG_FILE": str(fonts)}) as launched:
        yield launched


@contextmanager
def _launched(program: Path, environment: dict[str, str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = _launch(playwright, program, environment)
        try:
            yield launched
        finally:
            launched.close()


def _launch(playwright: Playwright, program: Path, environment: dict[str, str]) -> Browser:
    return playwright.chromium.launch(executable_path=program, args=list(FLAGS), env={**os.environ, **environment})


def _program() -> tuple[Path, dict[str, str]]:
    """The program, and what its environment needs besides. Raises Unavailable."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found), {}
    root = fetched("chromium")
    folders = "*-linux-gnu", "*-linux-gnu/pulseaudio"  # where libraries look for others by a path of their own
    libraries = [str(path) for pattern in folders for path in (root / "usr" / "lib").glob(pattern)]
    return root / "usr" / "lib" / "chromium" / "chromium", {"LD_LIBRARY_PATH": ":".join(libraries)}


def fetched(package: str) -> Path:
    """The folder that Debian's package is in, with all packages that it needs and this machine lacks, unpacked and not
    installed: that needs no root. Raises Unavailable."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "attendant" / package
    if folder.exists():
        return folder
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable(f"there is no {package} on PATH, and no apt-get that could fetch it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        planned = _apt("install", "--simulate", "--no-install-recommends", package, cwd=scratch)
        names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
        _apt("download", *(names or [package]), cwd=scratch)
        unpacked = Path(scratch) / "unpacked"
        for file in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(file), str(unpacked)], check=True)
        with suppress(OSError):  # another worker was faster
            unpacked.rename(folder)
    return folder


def _apt(*words: str, cwd: str) -> str:
    done = subprocess.run(["apt-get", "-q", *words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{words[-1]} cannot be fetched: {done.stderr.strip()[-300:]}")
    return done.stdout
