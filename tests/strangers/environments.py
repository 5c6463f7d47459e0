"""Environments of clients that nobody here wrote, each made once, by pip, and kept beside the trained checkpoints."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from attendant_loadtest.bench.environments import PeerFailed, install

NOT_TO_BE_HAD = "No matching distribution found"
"""What pip ends with where the index has no such package, none for this machine, or cannot be reached."""


@dataclass(frozen=True)
class Requirements:
    """What one set of clients needs.

    Attributes:
        packages: as pip takes them, of one version each: a newer one is tried by changing the line.
        alone: packages whose own requirements are left out.
        libraries: of Debian, in files that a program of the packages is linked against; unpacked to ``debian/``.
    """

    packages: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def folder(self) -> Path:
        """Where its environment is kept: another one for other packages or another Python."""
        words = "\n".join((*self.packages, "--", *self.alone, "--", *self.libraries, sys.version))
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "attendant" / "strangers" / hashlib.sha256(words.encode()).hexdigest()[:16]


TRITON = Requirements(("tritonclient[grpc]==2.73.0",))
TRITON_HTTP = Requirements(("tritonclient[http]==2.73.0",))
KSERVE = Requirements(("kserve==0.21.0",))
TEI = Requirements(("tei-client[grpc]==0.2.4", "yagrc==1.1.3", "numpy"))
"""A client of Text Embeddings Inference, and one that knows no contract: it asks the server, by reflection."""
GATEWAY = Requirements(("smg==1.13.0", "openai==3.57.0", "anthropic==2.14.0", "numpy"))
"""smg, a gateway that speaks OpenAI's and Anthropic's HTTP in front and ``vllm.grpc.engine.VllmEngine`` behind."""
SMG_PROTO = Requirements(("smg-grpc-proto==0.4.28", "numpy"))
"""The messages of that gateway's engines, as their servers have them."""
FRAMEWORKS = Requirements(
    ("langchain-openai==1.7.4", "openai-agents==0.24.0", "pydantic-ai-slim[anthropic,openai]==2.68.0", "numpy")
)
"""What applications are built with; each calls OpenAI's or Anthropic's client in ways of its own."""
LITELLM = Requirements(("litellm==1.110.2", "instructor==1.17.0", "numpy"))
"""A client of a hundred APIs, and one that makes objects of answers; both hold OpenAI's own client back."""
LLAMA_INDEX = Requirements(("llama-index-llms-openai-like==0.8.1", "llama-index-embeddings-openai==0.7.0", "numpy"))
BUF = Requirements(("buf-bin==1.75.0",))
"""``buf curl``, which calls gRPC from a shell."""
PERF_ANALYZER = Requirements((), ("tritonclient==2.51.0", "nvidia-cuda-runtime-cu12==12.9.79"), ("libb64-0d",))
"""The last version whose wheel has the program and asks no newer C library than Debian 12's."""


def environment(requirements: Requirements) -> Path:
    """The folder of an environment with these packages; its programs are in ``bin/``. Whoever comes first makes it,
    and the others wait. Skips the test where a package cannot be had."""
    folder = requirements.folder()
    whole = folder / "whole"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what one left that was killed
            _make(folder, requirements)
            whole.touch()
    return folder


def _make(folder: Path, requirements: Requirements) -> None:
    steps = [[*requirements.packages]] if requirements.packages else []
    steps += [["--no-deps", *requirements.alone]] if requirements.alone else []
    try:
        install(folder, steps, "whole")
    except PeerFailed as failed:
        if NOT_TO_BE_HAD in str(failed):
            pytest.skip(str(failed))
        raise
    for library in requirements.libraries:
        _unpack(library, folder / "debian")


def _unpack(package: str, folder: Path) -> None:
    """Debian's package, unpacked and not installed: that needs no root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip(f"{package} cannot be had: there is no apt-get that could fetch it")
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True, check=False
    )
    packages = list(folder.glob(f"{package}_*.deb"))
    if done.returncode or not packages:
        pytest.skip(f"{package} cannot be had: {done.stderr.strip()[-300:]}")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(folder)], check=True)
