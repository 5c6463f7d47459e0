"""A real Prometheus reads a server under load: what it records is right, an alert fires, panels show something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attendant_proto.v1 import encoding_pb2, encoding_pb2_grpc

from deploy.files import HERE
from deploy.grafana import dashboards
from deploy.prometheus.objectives import ERRORS_SHARE
from tests.deploy.prometheus import PrometheusProcess, watching
from tests.synthetic import make_slow_bundle
from tests.synthetic_encoder import make_text_encoder
from tests.system.encoders import FLAGS, texts
from tests.system.server import HANGS_S, ServerProcess, eventually, request, serving, tokens_of

pytestmark = pytest.mark.network
REFUSED, ANSWERED = 150, 50
FILLED = {"$__rate_interval": "1m", "$job": ".*", "$model": ".*", "$route": ".*", "$instance": ".*", "$node": ".*"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that runs a single sequence and lets none wait, with a model that encodes beside it."""
    folder = tmp_path_factory.mktemp("served")
    bundle = make_slow_bundle(folder / "m", name="m")
    moods = make_text_encoder(folder / "moods")
    objectives = "ttft 1s p90, m: itl 1s p80, latency 1s p70"
    flags = ("--engine.max-num-seqs", 1, "--engine.max-queue", 0, "--slo.objectives", objectives, "--engine.process")
    (folder / "routes.yaml").write_text("routes: {mood: {kind: shadow, model: moods, shadow: moods}}", encoding="utf-8")
    routes = ("--routes", folder / "routes.yaml")
    with serving(folder / "log", bundle, moods, *flags, *routes, *FLAGS) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    """What it knows after load: some answers, and refusals while a long one ran."""
    rules = HERE / "prometheus" / "attendant.rules.yaml"
    with watching(server.http.removeprefix("http://"), rules, tmp_path_factory.mktemp("prometheus")) as running:
        eventually(lambda: bool(running.query('attendant_request_failure_total{error="queue_full"}')))
        long = server.generation.Generate(request(max_tokens=8000))
        next(long)
        for _ in range(REFUSED):
            with pytest.raises(grpc.RpcError) as caught:
                tokens_of(server.generation.Generate(request()))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        long.cancel()
        eventually(server.is_idle)
        for _ in range(ANSWERED):
            assert tokens_of(server.generation.Generate(request()))
        encoding = encoding_pb2_grpc.EncodingStub(server.channel)
        for model in ("", "mood"):
            for _ in range(ANSWERED):
                asked = encoding_pb2.ClassifyRequest(model=model, inputs=texts("a", "bb"))
                assert encoding.Classify(asked, timeout=HANGS_S).results
        done = 'attendant_request_success_total{finished_reason="length"}'
        eventually(lambda: [found["value"][1] for found in running.query(done)] == [str(ANSWERED)])
        in_time = 'attendant_slo_attained_total{slo="latency"}'
        eventually(lambda: [found["metric"]["model_name"] for found in running.query(f"{in_time} > 0")] == ["moods"])
        yield running


def test_a_recording_rule_has_the_right_value(prometheus: PrometheusProcess) -> None:
    """Of what was asked, the share that was refused; the long request was cancelled and does not count."""
    expected = REFUSED / (REFUSED + ANSWERED)

    def is_right() -> bool:
        found = prometheus.query('model:attendant_slo_bad:ratio_rate5m{slo="errors", model_name="m"}')
        return [float(series["value"][1]) for series in found] == [pytest.approx(expected, rel=1e-6)]

    eventually(is_right)
    (series,) = prometheus.query('model:attendant_slo_bad:ratio_rate5m{slo="ttft"}')
    assert series["metric"]["job"] == "attendant"
    assert series["metric"]["model_name"] == "m"
    assert 0 <= float(series["value"][1]) <= 1


def test_what_is_promised_reaches_the_rules(prometheus: PrometheusProcess) -> None:
    found = {s["metric"]["slo"]: float(s["value"][1]) for s in prometheus.query("model:attendant_slo_target:max")}
    assert found == {"ttft": 0.9, "itl": 0.8, "latency": 0.7, "errors": ERRORS_SHARE}


def test_an_alert_fires(prometheus: PrometheusProcess) -> None:
    firing = 'ALERTS{alertname="AttendantErrorBudget", severity="page", alertstate="firing", slo="errors"}'
    eventually(lambda: bool(prometheus.query(firing)))
    names = {found["metric"]["alertname"] for found in prometheus.query('ALERTS{alertstate="firing"}')}
    slow = {"AttendantFirstTokenBudget", "AttendantInterTokenBudget"}  # on a busy machine
    assert names - slow == {"AttendantErrorBudget"}


def test_panels_have_something_to_show(prometheus: PrometheusProcess) -> None:
    """Those of models that generate and that encode, and of a server; legends name labels that series have."""
    empty = set()
    for panel in _shown():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in FILLED.items():
                text = text.replace(name, value)
            found = prometheus.query(text)
            if not found:
                empty.add(panel["title"])
            for series in found:
                asked = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                assert asked <= series["metric"].keys(), panel["title"]
    assert empty - {"Evenness"} == {  # it is only told while somebody waits
        *("Recordings", "Sound", "Windows", "Inputs that failed", "Spans of traces", "Calls that failed"),
        *("Certificate", "Turned away", "Models that hang or start anew"),
    }


def _shown() -> Iterator[dict[str, Any]]:
    """Every panel but those of exporters that do not run here."""
    for board in dashboards().values():
        heading = ""
        for panel in board["panels"]:
            heading = panel["title"] if panel["type"] == "row" else heading
            if heading not in ("GPUs", "Nodes"):
                yield from panel["panels"] if panel["type"] == "row" else [panel]
