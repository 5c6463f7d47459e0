"""The embedded demo model, as ``make run`` starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from attendant_proto.v1 import models_pb2

from tests.system.server import attendant, environment, serving


def test_once_answers_and_exits() -> None:
    done = attendant("demo", "--once", "--grpc.port", 0, "--http.port", 0)
    assert done.returncode == 0, done.stderr
    grpc_line, page_line, metrics_line, *rest = [line for line in done.stdout.splitlines() if line]
    assert grpc_line.startswith("attendant: gRPC on 127.0.0.1:")
    assert page_line.startswith("attendant: page on http://127.0.0.1:")
    assert metrics_line.startswith("attendant: metrics on http://127.0.0.1:")
    assert rest[0].startswith('$ attendant generate "')
    assert len(rest[1].split()) > 3, "no sensible answer"
    assert "first token" in done.stderr


def test_nobody_is_told_of_its_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime would keep a database of it in the home folder, and look its maker's collector up."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    done = attendant("demo", "--once", "--grpc.port", 0, "--http.port", 0)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*icrosoft*"))


def test_ports_that_are_taken_give_way_to_free_ones() -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]
        done = attendant("demo", "--once", "--grpc.port", ports[0], "--http.port", ports[1])
    assert done.returncode == 0, done.stderr
    assert str(ports[0]) not in done.stdout
    assert str(ports[1]) not in done.stdout


def test_it_serves_until_ctrl_c() -> None:
    words = [sys.executable, "-m", "attendant", "demo", "--grpc.port", "0", "--http.port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        assert any("until Ctrl-C" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0
        assert "Traceback" not in errors
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_server_without_bundles_serves_the_demos(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as server:
        models = {model.name: model for model in server.models.ListModels(models_pb2.ListModelsRequest()).models}
        tasks = {"demo": "generate", "translator": "generate", "sentiment": "classify", "shapes": "classify_image"}
        assert {name: model.task for name, model in models.items()} == tasks
        assert models["demo"].has_chat_template
        assert models["translator"].max_source_tokens > 0
        assert all(model.ready for model in models.values())
