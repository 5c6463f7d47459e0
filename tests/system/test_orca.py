"""What a real server says of how busy it is, and to whom."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attendant.rpc.orca import TRAILER
from attendant_proto.orca import load_report_pb2, service_pb2, service_pb2_grpc
from attendant_proto.v1 import models_pb2
from google.protobuf.message import Message

from tests.system.server import HANGS_S, ServerProcess, request, serving

GENERATE = "attendant.v1.Generation/Generate"


def trailers(server: ServerProcess, method: str, message: Message, folder: Path) -> dict[str, str]:
    """What a call ends with. gRPC's own clients keep the report for themselves."""
    data = message.SerializeToString()
    body, found = folder / "body", folder / "headers"
    body.write_bytes(b"\0" + len(data).to_bytes(4, "big") + data)
    words = ["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-D", str(found), "--data-binary", f"@{body}"]
    words += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{server.grpc}/{method}"]
    try:
        subprocess.run(words, check=True, timeout=HANGS_S)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no curl that speaks HTTP/2")
    lines = [line.partition(": ") for line in found.read_text().splitlines()]
    return {name.lower(): value.strip() for name, _, value in lines}


def report_of(said: Mapping[str, str]) -> load_report_pb2.OrcaLoadReport:
    return load_report_pb2.OrcaLoadReport.FromString(base64.b64decode(said[TRAILER] + "=="))


def test_every_call_ends_with_a_report(server: ServerProcess, tmp_path: Path) -> None:
    streamed = trailers(server, GENERATE, request("hello", 4), tmp_path)
    assert streamed["grpc-status"] == "0"
    assert report_of(streamed).named_metrics.keys() >= {"num_requests_running", "num_requests_waiting"}
    whole = trailers(server, "attendant.v1.Models/ListModels", models_pb2.ListModelsRequest(), tmp_path)
    assert report_of(whole).rps_fractional >= 0
    failed = trailers(server, GENERATE, request("hello", 4, model="nobody"), tmp_path)
    assert failed["grpc-status"] == "5"
    assert report_of(failed).eps == 0, "it is the caller's fault"


def test_a_stream_of_reports_tells_what_runs(slow_server: ServerProcess) -> None:
    stub: Any = service_pb2_grpc.OpenRcaServiceStub(slow_server.channel)  # type: ignore[no-untyped-call]
    asked = service_pb2.OrcaLoadReportRequest()
    asked.report_interval.nanos = 1  # shorter than the shortest
    running = slow_server.generation.Generate(request("hello", 8000))
    next(running)
    stream = stub.StreamCoreMetrics(asked, timeout=300)
    busy = next(each for each in stream if each.named_metrics["num_requests_running"] >= 1)
    assert busy.named_metrics["num_requests_waiting"] == 0
    assert next(each for each in stream if each.application_utilization == 0.5)  # one of two places
    running.cancel()
    assert next(each for each in stream if each.application_utilization == 0)
    stream.cancel()


def test_trailers_can_be_left_out(fast: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", fast, "--no-grpc.load-trailers") as server:
        said = trailers(server, GENERATE, request("hello", 4), tmp_path)
        assert said["grpc-status"] == "0"
        assert TRAILER not in said
