"""Writes a bundle beside its place and moves it there when it is whole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendant.bundle import MANIFEST_FILE, FileEntry, Manifest, sha256
from attendant.bundle.graph_io import check_graphs

from attendant_export.errors import DiskFull, OutputError, OutputExists

_LOCK_FILE = ".lock"
_FULL_BELOW_BYTES = 64 * 1024
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def check_output(out: Path, *, overwrite: bool) -> None:
    """Refuses a place that a bundle may not take, before any work is done.

    Raises:
        OutputExists: something is there and may not, or should not, be replaced.
        OutputError: the parent folder cannot be made.
    """
    if not (out.exists() or out.is_symlink()):
        return
    if not overwrite:
        raise OutputExists(f"{out} exists; give another place or --overwrite")
    if out.is_symlink() or not out.is_dir():
        raise OutputExists(f"{out} is not a folder; --overwrite replaces bundles only")
    if not (out / MANIFEST_FILE).is_file() and any(out.iterdir()):
        raise OutputExists(f"{out} holds no {MANIFEST_FILE}; --overwrite replaces bundles only")


@contextmanager
def bundle_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Gives an empty folder beside ``out``; moves it to ``out`` when the block ends well, and removes it when not.

    An old bundle at ``out`` stays in place until the moment of the move. What a killed export left behind is removed.

    Raises:
        OutputExists: see :func:`check_output`.
        DiskFull: no space left while writing.
        OutputError: the file system refuses for another reason.
    """
    out = out.absolute()
    check_output(out, overwrite=overwrite)
    with _os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.export-", dir=out.parent))
        lock = os.open(folder / _LOCK_FILE, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the kernel when this process ends, however it ends
            folder.chmod(0o755)
            yield folder
            check_output(out, overwrite=overwrite)
            _move(folder, out)
            (out / _LOCK_FILE).unlink(missing_ok=True)
        finally:
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Size and checksum of every file of a bundle in the making."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(size=path.stat().st_size, sha256=sha256(path))
        for path in paths
        if path.name not in (_LOCK_FILE, MANIFEST_FILE)
    }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``bundle.json``.

    Raises:
        BundleError: a graph takes or gives what is not declared in :mod:`attendant.bundle.graph_io`.
    """
    check_graphs(manifest, whole=True)
    # Left out while they are empty: servers that do not know the fields would refuse the bundle for them.
    unused = {name for name in ("further_capabilities", "attention") if not getattr(manifest, name)}
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2, exclude=unused) + "\n", encoding="utf-8")


def _move(folder: Path, out: Path) -> None:
    """Puts ``folder`` at ``out``; what was there ends up at ``folder``, to be removed."""
    if not out.exists():
        folder.rename(out)
        return
    if _exchange(folder, out):
        return
    # Without an atomic exchange the old bundle steps aside, and back if the new one cannot take its place.
    aside = folder.with_name(folder.name + "-old")
    out.rename(aside)
    try:
        folder.rename(out)
    except OSError:
        aside.rename(out)
        raise
    aside.rename(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two paths in one step (Linux renameat2); False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    status: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return status == 0


def _remove_leftovers(out: Path) -> None:
    """Removes the hidden folders of earlier exports to ``out`` whose process is gone."""
    for folder in [path for path in out.parent.iterdir() if path.name.startswith(f".{out.name}.export-")]:
        try:
            lock = os.open(folder / _LOCK_FILE, os.O_RDWR)
        except OSError:
            continue  # not locked yet, or being removed: its owner is at it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # another export is writing it now
        finally:
            os.close(lock)


@contextmanager
def _os_errors(out: Path) -> Iterator[None]:
    """Turns failures of the file system under ``out`` into typed errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or _is_full(out.parent):
            raise DiskFull(out) from error
        if error.filename is not None and str(error.filename).startswith(str(out.parent)):
            raise OutputError(f"{out} cannot be written: {error.strerror or error}") from error
        raise


def _is_full(folder: Path) -> bool:
    """Whether next to no space is left: array writers report a short write without an error number."""
    try:
        return shutil.disk_usage(folder).free < _FULL_BELOW_BYTES
    except OSError:
        return False
