"""Locust users for every call of every contract: none is left out, and a real server answers each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from attendant.core.errors import AttendantError, QueueFull
from attendant.http.api.anthropic.errors import ANTHROPIC
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openinference.routes import openinference_routes
from attendant.http.api.routes import api_routes
from attendant.http.api.tei.errors import TEI
from attendant.http.health import api_health_routes, health_routes
from attendant.http.metrics import metrics_routes
from attendant.metrics import Metrics
from attendant_loadtest.calls.route import kind_of

from tests.fuzz.surface import METHODS
from tests.loadtest.headless import run_headless
from tests.security.authority import row, write_ca, write_identity
from tests.synthetic import make_synthetic_bundle
from tests.system.encoders import FLAGS, MASK, make_encoders
from tests.system.server import REPOSITORY, ServerProcess, environment, serving
from tests.whisper import make_whisper_bundle

LOCUSTFILE = REPOSITORY / "loadtest" / "every_call.py"
NOT_OFFERED = {f"vllm.grpc.engine.VllmEngine/{name}" for name in ("FlushCache", "StartProfile", "StopProfile")} | {
    "vllm.grpc.engine.VllmEngine/SubscribeKvEvents"
}
"""Always refused."""


class Made(NamedTuple):
    """A call that a user makes: its name in statistics, ``grpc METHOD`` or a verb of HTTP and a path, what it needs."""

    user: str
    name: str
    way: str
    needs: str


@cache
def made() -> tuple[Made, ...]:
    """All calls. Asked in a process, as Locust changes the one that imports it."""
    words = [sys.executable, "-m", "attendant_loadtest.calls"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, env=environment()).stdout
    return tuple(Made(*line.split("\t")) for line in told.splitlines())


def test_every_rpc_has_a_user() -> None:
    there = {f"{method.containing_service.full_name}/{method.name}" for method in METHODS}
    called = {call.way.removeprefix("grpc ") for call in made() if call.way.startswith("grpc ")}
    assert there - called == NOT_OFFERED
    assert called <= there


def test_every_route_has_a_user() -> None:
    def nothing() -> Any:
        raise AssertionError("no route is called")

    apis = [*api_routes(nothing), *openinference_routes(nothing), *api_health_routes(nothing, nothing)]
    routes = [*apis, *health_routes(nothing), *metrics_routes(Metrics())]
    there = {re.sub(r":\w+}", "}", route.path).replace("{name}", "{model}"): route.methods or set() for route in routes}
    called = {path: verb for verb, path in (call.way.split() for call in made()) if verb != "grpc"}
    refused = {path for path in there if "sharedmemory" in path}  # whatever is asked
    assert set(there) - set(called) == refused
    assert all(verb in there[path] for path, verb in called.items())


def run_locust(server: ServerProcess, *arguments: object) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """One user of each kind. Returns Locust's statistics by name, and the process."""
    ports = re.findall(r"VllmEngine of \S+ on (\S+)", "".join(server.output))
    hosts = ("--host", server.grpc, "--http-host", server.http, "--vllm-host", ",".join(ports), "--mask", MASK)
    small = ("--prompt-tokens", 8, "--max-tokens", 8, "--sound-s", 0.2)
    return run_headless(LOCUSTFILE, *hosts, *small, *arguments)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Something of every kind, but for recordings; a model that may go; ports for a gateway."""
    folder = tmp_path_factory.mktemp("bundles")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    make_synthetic_bundle(folder / "repository" / "spare", name="spare")
    words = (*encoders, "--demo", *FLAGS, "--engine.threads", 1, "--no-engine.spinning", "--no-admission.predict")
    repository = ("--model-repository", folder / "repository", "--repository.control", "explicit")
    ports = ("--vllm-engine", "0=demo", "--vllm-engine", "0=vectors")
    with serving(tmp_path_factory.mktemp("log") / "server.log", *words, *repository, *ports) as running:
        yield running


def test_a_server_answers_every_call(server: ServerProcess) -> None:
    number = len({call.user for call in made()})
    found, process = run_locust(server, "-u", number, "-r", number, "--rounds", 1, "--reload", "spare")
    assert process.returncode == 0, process.stderr
    deaf = {call.name for call in made() if call.needs == "speech"}
    assert {call.name for call in made()} - set(found) == deaf
    assert all(f"{name} is not called" in process.stderr for name in deaf)
    assert all(found[call.name]["num_requests"] > 0 for call in made() if call.name not in deaf)
    assert found["Generation/Generate/first part"]["num_requests"] == 1
    assert "/v1/chat/completions (stream)/first part" in found


def test_recordings_are_heard(tmp_path: Path) -> None:
    with serving(tmp_path / "log", make_whisper_bundle(tmp_path / "whisper")) as running:
        found, process = run_locust(running, "SpeechUser", "OpenAiUser", "-u", 2, "-r", 2, "--rounds", 2)
    assert process.returncode == 0, process.stderr
    wanted = {call.name for call in made() if call.needs.startswith("speech")}
    assert {name: found[name]["num_requests"] for name in wanted} == dict.fromkeys(wanted, 2)


def test_failures_are_counted_by_what_they_are(server: ServerProcess) -> None:
    """What is refused, what fails within a stream, and what takes too long."""
    calls = ("Generation/Generate", "/v1/completions", "/v1/completions (stream)", "ModelStreamInfer (generate)")
    users = ("GenerationUser", "OpenAiUser", "OpenInferenceUser")
    _, process = run_locust(
        server, *users, "-u", 3, "-r", 3, "--rounds", 1, "--calls", ",".join(calls), "--prompt-tokens", 2000
    )
    assert process.returncode == 1
    told = process.stderr
    assert "Generation/Generate: INVALID_ARGUMENT: " in told
    assert "/v1/completions: 400 context_length_exceeded: " in told
    assert "/v1/completions (stream): 400 context_length_exceeded: " in told
    assert "ModelStreamInfer (generate): error of a stream: " in told
    short = ("--request-timeout", 0.0001, "--calls", ",".join(calls[:2]))
    found, process = run_locust(server, *users[:2], "-u", 2, "-r", 2, "--rounds", 1, *short)
    assert "Generation/Generate: DEADLINE_EXCEEDED" in process.stderr
    assert "/v1/completions: timed out" in process.stderr
    assert found["/v1/completions"]["num_failures"] == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (OPENAI.error_body(QueueFull("m", 8, 1.0), 429), "rate_limit_exceeded"),
        (OPENAI.error_body(AttendantError("x"), 500), "server_error"),
        (ANTHROPIC.error_body(QueueFull("m", 8, 1.0), 429), "rate_limit_error"),
        (TEI.error_body(QueueFull("m", 8, 1.0), 429), "Overloaded"),
        ({"choices": [], "error": None}, ""),
        ({"type": "error", "code": "server_error", "message": "x"}, "server_error"),
    ],
)
def test_errors_of_every_api_have_a_name(body: dict[str, Any], kind: str) -> None:
    assert kind_of(json.dumps(body).encode()) == kind


def refused(server: ServerProcess, *flags: object) -> str:
    """What Locust says before it ends without a run."""
    words = [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--host", server.grpc, *flags]
    process = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert process.returncode == 1
    return process.stderr


def test_flags_that_mean_nothing_are_refused(server: ServerProcess, tmp_path: Path) -> None:
    assert "--calls: no user makes 'Enbed'; allowed: " in refused(server, "--calls", "Enbed")
    assert "nowhere: cannot be read" in refused(server, "--token-file", tmp_path / "nowhere")
    assert "--client-cert and --client-key belong together" in refused(server, "--client-cert", tmp_path / "nowhere")


def test_a_server_that_knows_its_callers_is_reached_with_a_token(tmp_path: Path) -> None:
    ca = trustme.CA()
    write_identity(tmp_path, ca)
    authority, callers, token = write_ca(tmp_path, ca), tmp_path / "callers.yaml", tmp_path / "token"
    callers.write_text(row("loader", "t0p"))
    token.write_text("t0p\n")
    tls = ("--tls.certificate", tmp_path / "server.crt", "--tls.key", tmp_path / "server.key")
    bundle = make_synthetic_bundle(tmp_path / "tiny", name="tiny")
    users = ("GenerationUser", "OpenAiUser", "-u", 2, "-r", 2, "--rounds", 1)
    flags = ("--tls-ca", authority, "--calls", "Generation/Generate,/v1/completions,/v1/models")
    with serving(tmp_path / "log", bundle, *tls, "--auth.tokens", callers, "--require-auth") as running:
        running.http = running.http.replace("http://", "https://")
        found, process = run_locust(running, *users, *flags, "--token-file", token)
        assert process.returncode == 0, process.stderr
        assert {name for name, entry in found.items() if entry["num_requests"]} >= {
            *("Generation/Generate", "/v1/completions", "/v1/models"),
        }
        found, process = run_locust(running, *users, *flags)
        assert process.returncode == 1
        assert "ListModels: UNAUTHENTICATED: " in process.stderr
