"""Coverage-guided cases: atheris feeds bytes to what reads bytes of strangers, each reader in a process of its own.

`python -m tests.fuzz.guided READER [libFuzzer's flags] FOLDER` is one such process.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz.files import seeds

HANGS_S = 10
MOST_MB = 2048
"""Memory of a reader; more is a fault."""


def run_guided(seed: int, cases: int) -> tuple[Counter[str], list[str]]:
    """So many cases in all, of every reader. Returns how they ended, and what was bad."""
    ends: Counter[str] = Counter()
    if importlib.util.find_spec("atheris") is None:
        ends["left out: there is no atheris"] = cases
        return ends, []
    bad = []
    for reader in READERS:
        with tempfile.TemporaryDirectory() as folder:
            for number, data in enumerate(_begin_with(reader)):
                (Path(folder) / f"seed-{number}").write_bytes(data)
            flags = (f"-seed={seed % 2**31 or 1}", f"-runs={max(1, cases // len(READERS))}", f"-timeout={HANGS_S}")
            words = [sys.executable, "-m", "tests.fuzz.guided", reader, *flags, f"-rss_limit_mb={MOST_MB}"]
            words += [f"-artifact_prefix={folder}/", folder]
            ran = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        done = re.search(r"Done (\d+) runs", ran.stderr)
        ends[reader] += int(done[1]) if done else 0
        if ran.returncode != 0 or done is None:
            bad.append(f"{reader} ended with {ran.returncode}:\n{ran.stdout[-1500:]}\n{ran.stderr[-2500:]}")
    return ends, bad


def _begin_with(reader: str) -> tuple[bytes, ...]:
    if reader == "files":
        return seeds()
    return (b'{"schema_version": 1, "task": "generate"}', b"\x12\x05hello\x32\x02\x08\x05")


def _files() -> Callable[[bytes], None]:
    from tests.fuzz.parsed import read_all

    def read(data: bytes) -> None:
        _, wrong = read_all(data)
        assert not wrong, wrong

    return read


def _manifests() -> Callable[[bytes], None]:
    from attendant.bundle import MANIFEST_FILE, read_any_manifest
    from attendant.core.errors import BundleError

    bundle = Path(tempfile.mkdtemp(prefix="fuzz-manifest-"))

    def read(data: bytes) -> None:
        (bundle / MANIFEST_FILE).write_bytes(data)
        try:
            read_any_manifest(bundle)
        except BundleError:
            return

    return read


def _messages() -> Callable[[bytes], None]:
    from attendant.core.errors import AttendantError
    from attendant.rpc.convert import generation_call
    from attendant_proto.v1 import generation_pb2
    from google.protobuf.message import DecodeError

    def read(data: bytes) -> None:
        try:
            generation_call(generation_pb2.GenerateRequest.FromString(data))
        except (DecodeError, AttendantError):
            return

    return read


READERS: Mapping[str, Callable[[], Callable[[bytes], None]]] = {
    "files": _files,
    "manifests": _manifests,
    "messages": _messages,
}
"""What makes each reader, by name: its modules are imported while atheris watches imports."""


def main() -> None:
    """See the module's docstring."""
    import atheris

    with atheris.instrument_imports(include=["attendant"]):
        read = READERS[sys.argv[1]]()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
