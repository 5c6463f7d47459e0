"""Whether a server serves, as a command."""

from __future__ import annotations

from pathlib import Path

from tests.system.server import ServerProcess, attendant, serving


def test_it_says_whether_a_server_or_a_model_serves(server: ServerProcess) -> None:
    for name in ((), ("attendant.v1.Generation",), ("fast",)):
        done = attendant("health", *name, "--server", server.grpc)
        assert (done.returncode, done.stdout) == (0, "SERVING\n")
    done = attendant("health", "nobody", "--server", server.grpc)
    assert done.returncode == 1
    assert "no service or model 'nobody'" in done.stderr


def test_a_server_that_leaves_or_is_gone_does_not(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, "--lifecycle.drain-delay-s", 600) as running:
        address = running.grpc
        running.terminate()
        while (done := attendant("health", "--server", address)).stdout == "SERVING\n":
            assert done.returncode == 0
        assert (done.returncode, done.stdout) == (1, "NOT_SERVING\n")
    done = attendant("health", "--server", address)
    assert done.returncode == 1
    assert "did not answer" in done.stderr
