"""How a server process starts, fails and ends."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2
from grpc_health.v1 import health_pb2

from tests.synthetic import make_synthetic_bundle
from tests.system.server import (
    HANGS_S,
    LONG,
    PATIENT,
    ServerProcess,
    attendant,
    eventually,
    request,
    serving,
    tokens_of,
)

POISON = 77
DYING = (str(Path(__file__).with_name("dying_server.py")),)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def outcome(server: ServerProcess, max_tokens: int, model: str = "") -> str | int:
    """Number of tokens, or the code of the error."""
    try:
        return len(tokens_of(server.generation.Generate(request("hello", max_tokens, model=model))))
    except grpc.RpcError as error:
        return str(error.code().name)


def start_calls(
    server: ServerProcess, pool: ThreadPoolExecutor, count: int, max_tokens: int, model: str = ""
) -> list[Future[str | int]]:
    """Calls that have arrived. They are long: on a busy machine others might be over before all have."""
    before = server.arrived()
    calls = [pool.submit(outcome, server, max_tokens, model) for _ in range(count)]
    eventually(lambda: server.metrics()["num_requests_running"] >= min(count, 4) and server.arrived() == before + count)
    return calls


def test_sigterm_under_load_lets_running_calls_finish(slow: Path, tmp_path: Path) -> None:
    arguments = (slow, "--engine.max-num-seqs", 4, *PATIENT)
    with serving(tmp_path / "log", *arguments) as server, ThreadPoolExecutor(8) as pool:
        watch = server.health.Watch(health_pb2.HealthCheckRequest(service="attendant.v1.Generation"))
        assert next(watch).status == SERVING
        held = server.generation.Generate(request("hello", LONG))  # keeps the drain going until all is asked
        next(held)
        calls = [pool.submit(outcome, server, 300) for _ in range(6)]
        eventually(lambda: server.arrived() == 7)
        server.terminate()
        assert next(watch).status == NOT_SERVING
        assert server.healthz() == 503
        with pytest.raises(grpc.RpcError) as caught:
            list(server.generation.Generate(request("late")))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in caught.value.details()
        trailers: dict[str, str] = dict(caught.value.trailing_metadata())  # type: ignore[arg-type]
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        eventually(lambda: "calls are not over" in server.log())
        held.cancel()
        assert [call.result(HANGS_S) for call in calls] == [300] * 6
        assert server.wait() == 0
    assert "Traceback" not in server.log()


def test_calls_are_taken_until_the_delay_is_over(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, "--lifecycle.drain-delay-s", 10 * HANGS_S) as server:
        watch = server.health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        server.terminate()
        assert next(watch).status == NOT_SERVING
        assert (server.healthz(), server.healthz("/health")) == (503, 503)
        assert outcome(server, 4) == 4
        server.terminate()
        assert server.wait() == 128 + signal.SIGTERM


def test_a_connection_that_is_too_old_ends_and_its_stream_goes_on(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, "--grpc.max-connection-age-s", 1) as server:
        states: list[grpc.ChannelConnectivity] = []
        server.channel.subscribe(states.append)
        stream = server.generation.Generate(request("hello", LONG))
        next(stream)
        eventually(lambda: grpc.ChannelConnectivity.IDLE in states[1:])
        for _ in range(20):  # more than a client has read ahead
            assert next(stream).token_ids
        stream.cancel()
        assert outcome(server, 4) == 4, "on another connection"


def test_calls_that_outlive_the_drain_limit_fail_as_unavailable(slow: Path, tmp_path: Path) -> None:
    arguments = (slow, "--engine.max-num-seqs", 4, "--drain-timeout-s", 0.3)
    with serving(tmp_path / "log", *arguments) as server, ThreadPoolExecutor(8) as pool:
        calls = start_calls(server, pool, 6, LONG)
        server.terminate()
        assert [call.result(HANGS_S) for call in calls] == ["UNAVAILABLE"] * 6
        assert server.wait() == 0
    assert "Traceback" not in server.log()


def test_an_idle_server_leaves_at_once(fast: Path, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path / "log", fast, *PATIENT) as server:
            server.terminate(number)
            assert server.wait() == 0
        assert "Traceback" not in server.log()


def test_watching_health_does_not_hold_the_server_up(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, *PATIENT) as server:
        watch = server.health.Watch(health_pb2.HealthCheckRequest())
        next(watch)
        server.terminate()
        assert server.wait() == 0


def test_a_second_signal_ends_the_process(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, *PATIENT) as server, ThreadPoolExecutor(1) as pool:
        (call,) = start_calls(server, pool, 1, LONG)
        server.terminate()
        eventually(lambda: "draining" in server.log())
        server.terminate()
        assert server.wait() == 128 + signal.SIGTERM
        assert call.result(HANGS_S) == "UNAVAILABLE"


def test_an_engine_that_dies_fails_its_calls_and_its_model_comes_back_a_limited_number_of_times(
    slow: Path, fast: Path, tmp_path: Path
) -> None:
    arguments = (slow, fast, "--lifecycle.max-restarts", 1, "--lifecycle.restart-backoff-s", 0)
    with serving(tmp_path / "log", *arguments, command=DYING) as server, ThreadPoolExecutor(8) as pool:
        whole = server.health.Watch(health_pb2.HealthCheckRequest())
        watch = server.health.Watch(health_pb2.HealthCheckRequest(service="slow"))
        assert (next(whole).status, next(watch).status) == (SERVING, SERVING)
        before = tokens_of(server.generation.Generate(request(model="slow")))
        calls = start_calls(server, pool, 6, LONG, "slow")
        server.terminate(signal.SIGUSR1)
        assert [call.result(HANGS_S) for call in calls] == ["UNAVAILABLE"] * 6
        assert next(watch).status == NOT_SERVING
        assert len(tokens_of(server.generation.Generate(request(model="fast")))) == 8, "others go on"
        assert next(watch).status == SERVING
        assert tokens_of(server.generation.Generate(request(model="slow"))) == before
        assert server.metrics()["model_restarts_total{outcome=came_back}"] == 1
        server.terminate(signal.SIGUSR2)
        eventually(lambda: outcome(server, 4, "slow") == "UNAVAILABLE")
        assert next(whole).status == NOT_SERVING
        assert server.wait() == 1
    assert "told to die" in server.log()


def test_a_server_whose_only_model_is_started_anew_is_not_ready_meanwhile(fast: Path, tmp_path: Path) -> None:
    arguments = (fast, "--lifecycle.restart-backoff-s", 3600)
    with serving(tmp_path / "log", *arguments, command=DYING) as server:
        watch = server.health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        server.terminate(signal.SIGUSR2)
        eventually(lambda: outcome(server, 4) == "UNAVAILABLE")
        assert next(watch).status == NOT_SERVING
        assert server.healthz() == 503
        with pytest.raises(grpc.RpcError) as caught:
            list(server.generation.Generate(request()))
        assert "is being started anew" in caught.value.details()
        trailers: dict[str, str] = dict(caught.value.trailing_metadata())  # type: ignore[arg-type]
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        server.terminate()
        assert server.wait() == 0


def test_a_step_that_hangs_fails_health_and_recovers_when_it_ends(slow: Path, fast: Path, tmp_path: Path) -> None:
    script = (str(Path(__file__).with_name("hanging_server.py")),)
    with serving(tmp_path / "log", slow, fast, "--lifecycle.watchdog-s", 3, command=script) as server:
        watches = [server.health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "slow")]
        assert [next(watch).status for watch in watches] == [SERVING, SERVING]
        stream = server.generation.Generate(request("hello", LONG, model="slow"))
        next(stream)
        server.terminate(signal.SIGUSR1)
        assert [next(watch).status for watch in watches] == [NOT_SERVING, NOT_SERVING]
        assert server.serving("fast")
        assert (server.healthz(), server.healthz("/health")) == (503, 503)
        assert outcome(server, 4, "slow") == "UNAVAILABLE"
        assert outcome(server, 4, "fast") == 4
        eventually(lambda: "in hanging_schedule" in server.log())
        server.terminate(signal.SIGUSR2)
        assert [next(watch).status for watch in watches] == [SERVING, SERVING]
        stream.cancel()
        assert outcome(server, 4, "slow") == 4
        assert server.healthz("/health") == 200
        assert server.metrics()["model_hangs_total"] == 1


def test_a_step_that_hangs_for_too_long_ends_the_process(slow: Path, tmp_path: Path) -> None:
    script = (str(Path(__file__).with_name("hanging_server.py")),)
    limits = ("--lifecycle.watchdog-s", 1, "--lifecycle.watchdog-exit-s", 0, "--drain-timeout-s", 0.1)
    with serving(tmp_path / "log", slow, *limits, command=script) as server, ThreadPoolExecutor(1) as pool:
        call = pool.submit(outcome, server, LONG)
        server.terminate(signal.SIGUSR1)
        assert call.result(HANGS_S) == "UNAVAILABLE"
        assert server.wait() == 1


def test_an_engine_that_dies_while_the_server_drains_still_counts(slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", slow, *PATIENT, command=DYING) as server, ThreadPoolExecutor(1) as pool:
        (call,) = start_calls(server, pool, 1, LONG)
        server.terminate()
        eventually(lambda: "draining" in server.log())
        server.terminate(signal.SIGUSR1)
        assert call.result(HANGS_S) == "UNAVAILABLE"
        assert server.wait() == 1


def test_a_failed_step_fails_its_requests_only(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "poisoned", poison_token=POISON, eos_bias=-1e4)
    with serving(tmp_path / "log", bundle) as server:
        poisoned = pb.GenerateRequest(token_ids=pb.TokenIds(ids=[POISON, 10, 10]))
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                list(server.generation.Generate(poisoned, timeout=60))
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "Traceback" not in caught.value.details()
        clean = pb.GenerateRequest(token_ids=pb.TokenIds(ids=[10, 11, 12]), stopping=pb.Stopping(max_tokens=1))
        assert len(tokens_of(server.generation.Generate(clean, timeout=60))) == 1
        assert server.serving()
        eventually(server.is_idle)
        assert server.metrics()["request_failure_total{error=step_failed}"] == 3


def test_several_models_by_name(fast: Path, slow: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, slow) as server:
        assert tokens_of(server.generation.Generate(request(model="fast"))) != tokens_of(
            server.generation.Generate(request(model="slow"))
        )
        with pytest.raises(grpc.RpcError) as caught:
            list(server.generation.Generate(request()))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "'fast', 'slow'" in caught.value.details()


def test_a_bundle_that_cannot_be_served_is_listed_with_its_cause_and_the_others_are_served(
    fast: Path, tmp_path: Path
) -> None:
    broken = make_synthetic_bundle(tmp_path / "broken", name="broken")
    manifest = json.loads((broken / "bundle.json").read_text())
    (broken / "bundle.json").write_text(json.dumps({**manifest, "chat_template": "{% if %}"}))
    with serving(tmp_path / "log", broken, fast) as server:
        assert tokens_of(server.generation.Generate(request(model="fast")))
        failed, served = models_pb2.MODEL_STATE_FAILED, models_pb2.MODEL_STATE_READY
        listed = {model.name: model for model in server.models.ListModels(models_pb2.ListModelsRequest()).models}
        assert {name: model.state for name, model in listed.items()} == {"fast": served, "broken": failed}
        found = server.models.GetModel(models_pb2.GetModelRequest(model="broken"))
        assert found == listed["broken"]
        assert (found.ready, found.architecture) == (False, "synthetic")
        assert "the chat template does not compile" in found.cause
        with pytest.raises(grpc.RpcError) as caught:
            list(server.generation.Generate(request(model="broken")))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "'broken' is not served: the chat template does not compile" in caught.value.details()
        assert (server.serving(), server.serving("fast"), server.serving("broken")) == (True, True, False)
        assert server.healthz() == 200
        assert 'attendant_model_ready{model_name="broken"} 0.0' in server.page()
        assert "model 'broken' is not served" in server.log()
        assert "broken is not served: the chat template" in attendant("models", "--server", server.grpc).stdout
    done = attendant("serve", fast, broken, "--strict", "--grpc.port", "0", "--http.port", "0")
    assert done.returncode == 2
    assert "the chat template does not compile" in done.stderr


def test_a_port_in_use_is_a_clear_error(fast: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag, other in (("grpc", "http"), ("http", "grpc")):
            done = attendant("serve", fast, f"--{flag}.port", port, f"--{other}.port", 0)
            assert done.returncode == 2
            assert str(port) in done.stderr
            assert f"{flag}.port" in done.stderr
            assert "Traceback" not in done.stderr
            assert not done.stdout


def test_a_bad_bundle_is_a_clear_error(fast: Path, tmp_path: Path) -> None:
    missing = attendant("serve", tmp_path / "nothing", "--grpc.port", 0, "--http.port", 0)
    assert missing.returncode == 2
    assert "nothing" in missing.stderr.splitlines()[-1]
    broken = make_synthetic_bundle(tmp_path / "broken")
    (broken / "decoder.onnx").write_bytes(b"junk")
    corrupt = attendant("serve", broken, "--grpc.port", 0, "--http.port", 0)
    assert corrupt.returncode == 2
    assert "decoder.onnx" in corrupt.stderr.splitlines()[-1]
    manifest = json.loads((fast / "bundle.json").read_text())
    manifest["schema_version"] = 99
    (broken / "bundle.json").write_text(json.dumps(manifest))
    newer = attendant("serve", broken, "--grpc.port", 0, "--http.port", 0)
    assert newer.returncode == 2
    assert "99" in newer.stderr.splitlines()[-1]
    for done in (missing, corrupt, newer):
        assert "Traceback" not in done.stderr
