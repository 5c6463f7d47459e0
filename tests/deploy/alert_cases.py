"""For each alert, figures that make it fire and figures that end it; and figures that must not make any fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LABELS = {"job": "prod/attendant", "model_name": "m"}
HERE = {"job": "prod/attendant", "instance": "10.0.0.7:9090"}


@dataclass(frozen=True)
class Case:
    """What Prometheus has read, and when an alert has to fire and to be clear again.

    Attributes:
        labels: of the alert, besides the severity.
        series: their values, by name and labels.
        every: time between two values; rules are evaluated as often, or every ``evaluated``.
        slower: severities of the same alert that fire as well, and longer.
    """

    alert: str
    severity: str
    series: Mapping[str, str]
    fires: str
    clears: str
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)
    every: str = "1m"
    evaluated: str = "1m"
    slower: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.alert}-{self.severity}"


@dataclass(frozen=True)
class Quiet:
    """What Prometheus has read, and when nothing fires for all that."""

    name: str
    series: Mapping[str, str]
    at: str


def counter(*phases: tuple[float, int]) -> str:
    """Values of a counter that grows by so much each time, so many times."""
    value = 0.0
    words: list[str] = []
    for growth, times in phases:
        first = value + growth if words else value
        words.append(f"{first:g}+{growth:g}x{times - 1 if words else times}")
        value += growth * times
    return " ".join(words)


def gauge(*phases: tuple[float, int]) -> str:
    """Values that stay for so many times each."""
    return " ".join(f"{value:g}+0x{times - 1}" for value, times in phases)


def series(name: str, **labels: str) -> str:
    """A series of the model."""
    shown = ", ".join(f'{key}="{value}"' for key, value in {**LABELS, **labels}.items())
    return f"{name}{{{shown}}}"


def local(name: str, **labels: str) -> str:
    """A series of one server."""
    shown = ", ".join(f'{key}="{value}"' for key, value in {**HERE, **labels}.items())
    return f"{name}{{{shown}}}"


FAILURE, SUCCESS = "attendant_request_failure_total", "attendant_request_success_total"
STOP = {"finished_reason": "stop"}
CERTIFICATE, THREE_WEEKS_S = local("attendant_tls_certificate_expiry_seconds", file="tls.crt"), 21 * 86400


def of_slo(slo: str) -> str:
    """The series of all events that an objective is about."""
    return {
        "ttft": series("attendant_time_to_first_token_seconds_count"),
        "itl": series("attendant_inter_token_latency_seconds_count"),
        "latency": series("attendant_encoder_requests_total", task="embed", outcome="success"),
    }[slo]


def slow(slo: str, events: float, bad: float, times: int) -> dict[str, str]:
    """Tokens, or results, of which some are slow for some time, and then none."""
    return {
        series("attendant_slo_target_ratio", slo=slo): gauge((0.99, 2 * times)),
        of_slo(slo): counter((events, 2 * times)),
        series("attendant_slo_attained_total", slo=slo): counter((events - bad, times), (events, times)),
    }


def failing(events: float, bad: float, times: int) -> dict[str, str]:
    """Requests of which some fail for some time, and then none."""
    return {
        series(SUCCESS, **STOP): counter((events - bad, times), (events, times)),
        series(FAILURE, error="step_failed"): counter((bad, times), (0, times)),
        local("attendant_model_ready", model_name="m"): gauge((1, 2 * times)),
    }


def burn(alert: str, slo: str, page: Mapping[str, str], ticket: Mapping[str, str]) -> tuple[Case, Case]:
    """An alert that pages after an hour and a half of trouble, and one that writes a ticket after eight of less."""
    labels = {**LABELS, "slo": slo}
    return (
        Case(alert, "page", page, "90m", "150m", labels, slower=("ticket",)),
        Case(alert, "ticket", ticket, "8h", "15h", labels, every="2m", evaluated="10m"),
    )


CASES = (
    *burn(
        "AttendantFirstTokenBudget",
        "ttft",
        slow("ttft", events=60, bad=12, times=90),
        slow("ttft", events=100, bad=4, times=240),
    ),
    *burn(
        "AttendantInterTokenBudget",
        "itl",
        slow("itl", events=600, bad=120, times=90),
        slow("itl", events=1000, bad=40, times=240),
    ),
    *burn(
        "AttendantLatencyBudget",
        "latency",
        slow("latency", events=60, bad=12, times=90),
        slow("latency", events=100, bad=4, times=240),
    ),
    *burn(
        "AttendantErrorBudget",
        "errors",
        failing(events=60, bad=6, times=90),
        failing(events=100, bad=2, times=240),
    ),
    Case("AttendantDown", "page", {local("up"): gauge((1, 5), (0, 10), (1, 10))}, "10m", "20m", HERE),
    Case("AttendantGone", "page", {local("attendant_build_info"): "1+0x3 _x20 1+0x20"}, "18m", "35m", {}),
    Case(
        "AttendantRestarts",
        "page",
        {
            local("process_start_time_seconds"): gauge((100, 5), (400, 5), (700, 60)),
            local("attendant_build_info", version="1"): gauge((1, 70)),
        },
        "14m",
        "60m",
        HERE,
    ),
    Case(
        "AttendantEngineDied",
        "page",
        {series(FAILURE, error="engine_dead"): counter((0, 5), (3, 1), (0, 40))},
        "8m",
        "30m",
    ),
    Case(
        "AttendantModelHangs",
        "page",
        {series("attendant_model_hangs_total"): counter((0, 5), (1, 1), (0, 40))},
        "8m",
        "30m",
    ),
    Case(
        "AttendantModelNotServed",
        "page",
        {local("attendant_model_ready", model_name="m"): gauge((1, 5), (0, 10), (1, 10))},
        "12m",
        "18m",
        {**HERE, "model_name": "m"},
    ),
    Case(
        "AttendantFails",
        "ticket",
        {
            series("attendant_encoder_row_failures_total", task="embed", error="step_failed"): counter(
                (0, 5), (1, 10), (0, 30)
            )
        },
        "14m",
        "30m",
    ),
    Case("AttendantRefuses", "page", {series(FAILURE, error="queue_full"): counter((2, 15), (0, 30))}, "14m", "30m"),
    Case(
        "AttendantQueueSaturated",
        "ticket",
        {
            series("attendant_num_requests_waiting"): gauge((40, 20), (1, 20)),
            series("attendant_num_requests_running"): gauge((16, 40)),
        },
        "15m",
        "30m",
    ),
    Case(
        "AttendantBatchQueueSaturated",
        "ticket",
        {
            series("attendant_encoder_queue_seconds_bucket", task="embed", le="1.0"): counter((5, 20), (10, 20)),
            series("attendant_encoder_queue_seconds_bucket", task="embed", le="2.5"): counter((10, 40)),
            series("attendant_encoder_queue_seconds_bucket", task="embed", le="+Inf"): counter((10, 40)),
        },
        "15m",
        "35m",
        {**LABELS, "task": "embed"},
    ),
    Case(
        "AttendantKvMemoryExhausted",
        "ticket",
        {
            local("attendant_kv_cache_usage_perc", model_name="m"): gauge((0.99, 15), (0.99, 15)),
            local("attendant_num_requests_waiting", model_name="m"): gauge((3, 15), (0, 15)),
        },
        "10m",
        "20m",
        {**HERE, "model_name": "m"},
    ),
    Case(
        "AttendantPreemptionStorm",
        "ticket",
        {
            series("attendant_num_preemptions_total"): counter((6, 20), (1, 20)),
            series(SUCCESS, **STOP): counter((20, 40)),
        },
        "15m",
        "35m",
    ),
    Case(
        "AttendantCertificateExpires",
        "ticket",
        {CERTIFICATE: gauge((THREE_WEEKS_S + 300, 60), (90 * 86400, 30))},
        "30m",
        "80m",
        {**HERE, "file": "tls.crt"},
    ),
)

QUIET = (
    Quiet(
        "what callers spoil is not the server's",
        {
            series(SUCCESS, **STOP): counter((30, 90)),
            series(FAILURE, error="invalid_request"): counter((30, 90)),
            local("attendant_model_ready", model_name="m"): gauge((1, 90)),
            series(FAILURE, error="model_not_found"): counter((30, 90)),
            series("attendant_encoder_requests_total", task="embed", outcome="invalid_request"): counter((30, 90)),
        },
        "90m",
    ),
    Quiet(
        "who goes away is no failure and no answer",
        {
            series(SUCCESS, finished_reason="cancelled"): counter((30, 90)),
            local("attendant_model_ready", model_name="m"): gauge((1, 90)),
        },
        "90m",
    ),
    Quiet("of few requests one that is slow is chance", slow("ttft", events=1, bad=1, times=45), "40m"),
    Quiet(
        "a batch that is read in time",
        {
            series("attendant_encoder_queue_seconds_bucket", task="embed", le=le): counter((10, 30))
            for le in ("0.1", "1.0", "+Inf")
        },
        "30m",
    ),
    Quiet(
        "a full cache for which nobody waits",
        {
            local("attendant_kv_cache_usage_perc", model_name="m"): gauge((1, 30)),
            local("attendant_num_requests_waiting", model_name="m"): gauge((0, 30)),
            local("attendant_num_requests_running", model_name="m"): gauge((16, 30)),
        },
        "30m",
    ),
    Quiet(
        "a restart",
        {
            local("process_start_time_seconds"): gauge((100, 5), (400, 25)),
            local("attendant_build_info", version="1"): gauge((1, 30)),
            local("up"): gauge((1, 5), (0, 1), (1, 24)),
        },
        "20m",
    ),
    Quiet(
        "restarts of something else",
        {'process_start_time_seconds{job="other", instance="b"}': gauge((1, 3), (2, 3), (3, 3), (4, 20))},
        "20m",
    ),
    Quiet(
        "a model of which nothing is promised",
        {of_slo(slo): counter((60, 90)) for slo in ("ttft", "itl", "latency")},
        "90m",
    ),
    Quiet("a certificate that is good for a month", {CERTIFICATE: gauge((31 * 86400, 120))}, "90m"),
    Quiet("a preemption now and then", {series("attendant_num_preemptions_total"): counter((0.5, 30))}, "30m"),
)
