"""Images built by buildah and run by podman, as root and from no registry: the base is made of Debian's packages.

Layers are kept beside the trained checkpoints, so that only what has changed is built again.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.supply import PYTHON
from tests.system.server import HANGS_S, REPOSITORY

DOCKERFILE = REPOSITORY / "deploy" / "docker" / "Dockerfile"
BASE = f"docker.io/library/python:{PYTHON}-slim"
SUITE = "bookworm"
"""Debian's, whose Python is that of the images."""
TOOLS = {"buildah": "buildah", "podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap"}
"""Programs, and Debian's packages of them. `.ci/run` installs them."""
MOUNTED = ("/etc/ssl/certs", "/etc/pip.conf")
"""What pip needs of a machine to reach a package index, if it has it."""
MOST_KEPT = 200
"""Images in the store, of which each step of a build is one; then all is made anew."""
STRICT = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")
"""Nothing of a root can be written, not even a /tmp, and nothing may be done that any user may not."""


class Containers:
    """Those of one store, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._where = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]

    @cached_property
    def _driver(self) -> list[str]:
        """Layers over each other where the kernel can do that, else copies."""
        for name in ("overlay", "vfs"):
            words = ["--storage-driver", name]
            done = self._run("buildah", *self._where, *words, "from", "scratch")
            if done.returncode == 0:
                self._run("buildah", *self._where, *words, "rm", done.stdout.strip())
                return words
        pytest.skip(f"buildah can keep no layers here: {done.stderr.strip()[-300:]}")

    def buildah(self, *words: str) -> str:
        """Standard output, without spaces around. Raises AssertionError with its last words if it fails."""
        return self._said(self._run("buildah", *self._where, *self._driver, *words))

    def podman(self, *words: str) -> str:
        """The same of podman; runc runs its containers."""
        return self._said(self._try_podman(*words))

    def _try_podman(self, *words: str) -> subprocess.CompletedProcess[str]:
        own = ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        return self._run("podman", *self._where, *self._driver, *own, *words)

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile. Returns the image's name."""
        name = f"localhost/attendant:{target}"
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if len(self.buildah("images", "--all", "--quiet").splitlines()) > MOST_KEPT:
                self.buildah("rmi", "--all", "--force")
            self._make_base()
            words = ["bud", "--isolation", "chroot", "--pull-never", "--format", "docker", "--layers"]
            for path in filter(os.path.exists, MOUNTED):
                words += ["--volume", f"{path}:{path}:ro"]
            words += ["--build-arg", "REVISION=tested", "--target", target, "--file", str(DOCKERFILE)]
            self.buildah(*words, "--tag", name, str(REPOSITORY))
        return name

    def _make_base(self) -> None:
        if BASE in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return
        tar = self._folder / "base.tar"
        packages = "--include=python3,python3-venv,ca-certificates"
        made = self._run("mmdebstrap", "--quiet", "--variant=minbase", packages, SUITE, str(tar))
        if made.returncode:
            pytest.skip(f"no base for images can be made: {made.stderr.strip()[-300:]}")
        container = self.buildah("from", "scratch")
        self.buildah("add", container, str(tar), "/")
        self.buildah("commit", "--quiet", "--rm", container, BASE)
        tar.unlink()

    def layers(self, image: str) -> list[int]:
        """Bytes, unpacked, that each instruction behind the base has added."""
        said = self.podman("history", "--format", "json", image)
        sizes = [int(each["size"]) for each in json.loads(said)]
        return [size for size in sizes[:-1] if size]  # the oldest is the base

    def config(self, image: str) -> dict[str, Any]:
        """What the image says of itself."""
        found: dict[str, Any] = json.loads(self.podman("image", "inspect", image))[0]["Config"]
        return found

    @contextmanager
    def running(self, image: str, *words: str) -> Iterator[Container]:
        """Run it as strictly as can be: see ``STRICT``. Skips the test where not even the base's /bin/true runs so."""
        options = [*STRICT, *self._limits(), "--health-interval", "disable", "--publish", "127.0.0.1::50051"]
        tried = self._try_podman("run", "--rm", *options, BASE, "/bin/true")
        if tried.returncode:
            pytest.skip(f"no container can be run here: {tried.stderr.strip()[-500:]}")
        name = f"attendant-{uuid4().hex[:8]}"
        try:
            self.podman("run", "--detach", "--name", name, *options, image, *words)
            yield Container(self, name)
        finally:
            self._try_podman("rm", "--force", "--time", "0", name)

    @staticmethod
    def _limits() -> list[str]:
        """This process's own: podman would raise them, which may be forbidden."""
        few = (min(resource.getrlimit(each)[1], 4096) for each in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        files, processes = (most if most > 0 else 4096 for most in few)  # -1 is without a limit
        return ["--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}"]

    @staticmethod
    def _run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=10 * HANGS_S)

    @staticmethod
    def _said(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, f"{done.args}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()


class Container:
    """One that runs."""

    def __init__(self, containers: Containers, name: str) -> None:
        self._containers, self._name = containers, name

    @cached_property
    def grpc(self) -> str:
        """host:port, from outside."""
        return self._containers.podman("port", self._name, "50051")

    def inside(self, *words: str) -> str:
        """What a command says that is run in it."""
        return self._containers.podman("exec", self._name, *words)

    def is_well(self) -> bool:
        """Whether its image's own health check says so."""
        return self._containers._try_podman("healthcheck", "run", self._name).returncode == 0

    def stop(self) -> int:
        """Have it end as an orchestrator does. Returns its exit code."""
        self._containers.podman("stop", "--time", str(int(HANGS_S)), self._name)
        return int(self._containers.podman("wait", self._name))


def containers() -> Containers:
    """Skips the test, with the reason, where images cannot be built."""
    missing = [package for program, package in TOOLS.items() if shutil.which(program) is None]
    if missing:
        pytest.skip(f"images are built and run by {', '.join(missing)}, which is not here: apt-get install it")
    if os.geteuid() != 0:
        pytest.skip("images are built and run by root here")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "attendant" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return Containers(folder)
