"""The folder that holds the stand-in's libraries and ONNX Runtime for GPUs, and Python run with both."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).parent / "src"
NAMES = ("libcublas.so.13", "libcublasLt.so.13", "libcuda.so.1", "libcudart.so.13", "libcurand.so.10")
# Headers of the CUDA version that ONNX Runtime is built for; cuda.h is in the first.
HEADERS = ("nvidia-cuda-runtime>=13,<14", "nvidia-cuda-crt>=13,<14")

_LIBRARY = "libstandin.so"
_COMPLAINT = re.compile(r"^cuda stand-in: (?P<kind>\S+): (?P<detail>.*)$")


@dataclass(frozen=True, slots=True, order=True)
class Complaint:
    """What a real GPU would have refused or replayed wrongly; the kinds are in src/complaints.c."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Finished:
    """A child process that has ended; ``output`` is both of its streams."""

    returncode: int
    output: str
    complaints: tuple[Complaint, ...]


@dataclass(frozen=True, slots=True)
class Workplace:
    """A prepared folder."""

    folder: Path

    def run_python(self, arguments: Sequence[str], *, memory: int | None = None, timeout_s: float = 600) -> Finished:
        """Run ``python`` with ``arguments``; ``memory``: bytes of the device, 16 GiB unless given."""
        with tempfile.TemporaryDirectory() as scratch:
            complaints = Path(scratch) / "complaints"
            child = subprocess.run(
                [sys.executable, *arguments],
                cwd=REPOSITORY,
                env=self._environment(complaints, memory),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
            lines = complaints.read_text(encoding="utf-8").splitlines() if complaints.exists() else []
        return Finished(child.returncode, child.stdout, tuple(_complaint(line) for line in lines))

    def _environment(self, complaints: Path, memory: int | None) -> dict[str, str]:
        paths = [str(self.folder / name) for name in ("onnxruntime", "bindings")]
        changes = {
            "LD_LIBRARY_PATH": str(self.folder / "lib"),
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "CUDA_STANDIN_COMPLAINTS": str(complaints),
        }
        if memory is not None:
            changes["CUDA_STANDIN_MEMORY"] = str(memory)
        return os.environ | changes


def prepare(folder: Path) -> Workplace:
    """Install and build what ``folder`` lacks: some 380 MB, of which 260 MB are downloaded.

    Raises:
        subprocess.CalledProcessError: pip or gcc failed; they have said why.
    """
    folder = folder.resolve()
    extra = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    gpu: list[str] = extra["project"]["optional-dependencies"]["gpu"]
    # Without its own extras: they are the libraries that the stand-in stands in for.
    runtime = [re.sub(r"\[.*\]", "", name) for name in gpu if name.startswith("onnxruntime-gpu")]
    bindings = [name for name in gpu if name.startswith("cuda-bindings")]
    _install(folder / "onnxruntime", runtime, "--no-deps")
    _install(folder / "bindings", bindings)
    _install(folder / "headers", HEADERS, "--no-deps")
    _build(folder / "lib", folder / "headers" / "nvidia" / "cu13" / "include")
    return Workplace(folder)


def _complaint(line: str) -> Complaint:
    found = _COMPLAINT.match(line)
    return Complaint(found["kind"], found["detail"]) if found else Complaint("unreadable", line)


def _install(folder: Path, requirements: Sequence[str], *options: str) -> None:
    if _done(folder, "\n".join(requirements)):
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
    subprocess.run([*command, "--target", str(folder), *requirements], check=True)
    _set_done(folder, "\n".join(requirements))


def _build(folder: Path, headers: Path) -> None:
    sources = sorted(SOURCES.glob("*.c"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))).hexdigest()
    if _done(folder, digest):
        return
    folder.mkdir(parents=True)
    flags = ["-O1", "-g", "-fPIC", "-shared", "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", f"-I{headers}"]
    subprocess.run(["gcc", *flags, *map(str, sources), "-o", str(folder / _LIBRARY), "-ldl", "-lpthread"], check=True)
    for name in NAMES:
        (folder / name).symlink_to(_LIBRARY)
    _set_done(folder, digest)


def _done(folder: Path, content: str) -> bool:
    """Whether ``folder`` holds ``content``; if not, it is gone."""
    mark = folder / ".done"
    if mark.exists() and mark.read_text(encoding="utf-8") == content:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _set_done(folder: Path, content: str) -> None:
    (folder / ".done").write_text(content, encoding="utf-8")
