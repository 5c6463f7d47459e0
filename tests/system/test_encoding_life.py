"""A server of encoders among generators, under SIGTERM, and when a batch thread dies."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc
from grpc_health.v1 import health_pb2

from tests.system.encoders import FLAGS, failure, make_encoders, texts
from tests.system.server import HANGS_S, PATIENT, attendant, eventually, request, serving, tokens_of


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoders(tmp_path_factory.mktemp("encoders"))


def test_generators_and_encoders_on_one_server(encoders: Path, fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", encoders / "moods", fast, *FLAGS) as server:
        stub = encoding_pb2_grpc.EncodingStub(server.channel)
        assert stub.Classify(pb.ClassifyRequest(inputs=texts("a")), timeout=HANGS_S).results
        assert len(tokens_of(server.generation.Generate(request()))) == 8
        assert attendant("generate", "hi", "--max-tokens", 2, "--server", server.grpc).returncode == 0
        code, field, _ = failure(stub.Classify, pb.ClassifyRequest(model="fast", inputs=texts("a")))
        assert (code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "model")
        server.terminate()
        assert server.wait() == 0
    assert "Traceback" not in server.log()


def test_sigterm_under_load_answers_every_call(encoders: Path, tmp_path: Path) -> None:
    outcomes: list[str] = []

    def load(address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            stub = encoding_pb2_grpc.EncodingStub(channel)
            while True:
                try:
                    stub.Classify(pb.ClassifyRequest(inputs=texts(*["some words"] * 50)), timeout=HANGS_S)
                    outcomes.append("OK")
                except grpc.RpcError as error:
                    outcomes.append(f"{error.code().name}: {error.details()}")
                    return

    with serving(tmp_path / "log", encoders / "moods", *FLAGS, *PATIENT) as server, ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(load, server.grpc)
        eventually(lambda: outcomes.count("OK") > 20)
        server.terminate()
        assert server.wait() == 0
    failures = [outcome for outcome in outcomes if outcome != "OK"]
    assert len(failures) == 6
    assert all(outcome.startswith("UNAVAILABLE") for outcome in failures), failures
    assert "Traceback" not in server.log()


def test_a_batch_thread_that_dies_fails_its_calls_and_its_model_comes_back(
    encoders: Path, fast: Path, tmp_path: Path
) -> None:
    script = (str(Path(__file__).with_name("dying_encoder.py")),)
    with serving(tmp_path / "log", encoders / "moods", fast, *FLAGS, command=script) as server:
        stub = encoding_pb2_grpc.EncodingStub(server.channel)
        assert stub.Classify(pb.ClassifyRequest(inputs=texts("a")), timeout=HANGS_S).results
        watch = server.health.Watch(health_pb2.HealthCheckRequest(service="moods"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.terminate(signal.SIGUSR1)

        def call_for_ever() -> None:  # the signal's handler waits for the interpreter's next moment in its main thread
            while True:
                stub.Classify(pb.ClassifyRequest(inputs=texts("a")), timeout=HANGS_S)

        with pytest.raises(grpc.RpcError) as caught:
            call_for_ever()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert len(tokens_of(server.generation.Generate(request(model="fast")))) == 8, "others go on"
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert stub.Classify(pb.ClassifyRequest(inputs=texts("a")), timeout=HANGS_S).results
        assert server.metrics()["model_restarts_total{outcome=came_back}"] == 1
        server.terminate()
        assert server.wait() == 0
    assert "told to die" in server.log()
