"""How long a server takes from its start to SERVING.

`python -m tests.processes.start` starts the demo again and again, and `python -m tests.processes.start BUNDLE` a server
of a bundle; both print the median. The first start is not counted: it compiles the modules, as an image has them, and
brings the files into the page cache. `--program "podman run --rm --network host --read-only IMAGE"` starts containers.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.system.server import HANGS_S, environment

LOOK_EVERY_S = 0.005


def a_start(command: list[str], variables: Mapping[str, str]) -> float:
    """Seconds from the start of a process to the first answer SERVING of its health service.

    Raises:
        AssertionError: it ended, or never serves.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.monotonic()
    words = [*command, "--grpc.port", str(port), "--http.port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables)
    try:
        while not _serves(port):
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() - begin < HANGS_S, f"not SERVING after {HANGS_S:.0f} s"
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - begin
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _serves(port: int) -> bool:
    with socket.socket() as probe:  # a channel that is refused once waits long before it tries again
        if probe.connect_ex(("127.0.0.1", port)):
            return False
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=HANGS_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path, nargs="?", help="a folder; without one, the demo")
    parser.add_argument("--program", default=f"{sys.executable} -m attendant", help="what is started: %(default)s")
    parser.add_argument("--times", type=int, default=10)
    told = parser.parse_args()
    words = ["demo"] if told.bundle is None else ["serve", str(told.bundle)]
    command = [*shlex.split(told.program), *words]
    with tempfile.TemporaryDirectory() as compiled:
        unlike = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        variables = {**environment(), **unlike}
        a_start(command, variables)
        found = sorted(a_start(command, variables) for _ in range(told.times))
    print(f"{' '.join(words)}: SERVING after {statistics.median(found):.2f} s ({found[0]:.2f} to {found[-1]:.2f})")


if __name__ == "__main__":
    main()
