"""Which states of a server somebody has to know of."""

from __future__ import annotations

from deploy.prometheus.rule import Alert

_BY = "sum by (job, model_name)"
_FAULTS = "step_failed|attendant_error"

ALERTS = (
    Alert(
        name="AttendantDown",
        severity="page",
        query='up{job=~".*attendant.*"} == 0',
        lasts="2m",
        summary="{{ $labels.instance }} does not answer Prometheus",
    ),
    Alert(
        name="AttendantGone",
        severity="page",
        query="absent(attendant_build_info)",
        lasts="5m",
        summary="Prometheus finds no server at all",
    ),
    Alert(
        name="AttendantRestarts",
        severity="page",
        query="changes(process_start_time_seconds[30m]) >= 2 and on (job, instance) attendant_build_info",
        lasts="",
        summary="{{ $labels.instance }} has started anew twice in half an hour",
    ),
    Alert(
        name="AttendantEngineDied",
        severity="page",
        query=f'{_BY} (increase(attendant_request_failure_total{{error="engine_dead"}}[15m])) > 0',
        lasts="",
        summary="an engine of {{ $labels.model_name }} has died; it is started anew, or its server ends itself",
    ),
    Alert(
        name="AttendantModelHangs",
        severity="page",
        query=f"{_BY} (increase(attendant_model_hangs_total[15m])) > 0",
        lasts="",
        summary="a step or a batch of {{ $labels.model_name }} did not end in time",
    ),
    Alert(
        name="AttendantModelNotServed",
        severity="page",
        query="attendant_model_ready == 0",
        lasts="5m",
        summary="{{ $labels.instance }} has {{ $labels.model_name }} and cannot serve it",
    ),
    Alert(
        name="AttendantFails",
        severity="ticket",
        query=f'{_BY} (rate(attendant_request_failure_total{{error=~"{_FAULTS}"}}[5m]) '
        f'or rate(attendant_encoder_row_failures_total{{error=~"{_FAULTS}"}}[5m])) > 0',
        lasts="5m",
        summary="requests to {{ $labels.model_name }} end with an error that is the server's own",
    ),
    Alert(
        name="AttendantRefuses",
        severity="page",
        query=f'{_BY} (rate(attendant_request_failure_total{{error=~"queue_full|would_be_late"}}[5m]) '
        'or rate(attendant_encoder_requests_total{outcome=~"queue_full|would_be_late"}[5m])) > 0',
        lasts="5m",
        summary="{{ $labels.model_name }} turns requests away because it has too much to do",
    ),
    Alert(
        name="AttendantQueueSaturated",
        severity="ticket",
        query=f"{_BY} (attendant_num_requests_waiting) > {_BY} (attendant_num_requests_running)",
        lasts="10m",
        summary="more requests wait for {{ $labels.model_name }} than run",
    ),
    Alert(
        name="AttendantBatchQueueSaturated",
        severity="ticket",
        query="histogram_quantile(0.9, sum by (job, model_name, task, le) "
        "(rate(attendant_encoder_queue_seconds_bucket[5m]))) > 1",
        lasts="10m",
        summary="one input in ten to {{ $labels.model_name }} waits longer than a second for its batch",
    ),
    Alert(
        name="AttendantKvMemoryExhausted",
        severity="ticket",
        query="attendant_kv_cache_usage_perc > 0.95 and attendant_num_requests_waiting > 0",
        lasts="5m",
        summary="{{ $labels.model_name }} on {{ $labels.instance }} has no KV memory left, and requests wait for it",
    ),
    Alert(
        name="AttendantPreemptionStorm",
        severity="ticket",
        query=f"{_BY} (rate(attendant_num_preemptions_total[5m])) "
        f"> 0.2 * {_BY} (rate(attendant_request_success_total[5m])) "
        f"and {_BY} (increase(attendant_num_preemptions_total[5m])) >= 5",
        lasts="5m",
        summary="{{ $labels.model_name }} computes again what it had: a preemption for every five answers or fewer",
    ),
    Alert(
        name="AttendantCertificateExpires",
        severity="ticket",
        query="attendant_tls_certificate_expiry_seconds - time() < 21 * 86400",
        lasts="10m",
        summary="the certificate {{ $labels.file }} of {{ $labels.instance }} is valid for less than three weeks",
    ),
)
