"""What is promised of each model. Times and shares of all but errors are the server's settings, which it tells."""

from __future__ import annotations

from dataclasses import dataclass

ERRORS_SHARE = 0.995
"""Share of requests that are answered, of those that the caller did not spoil or cancel. Yours to set: change it here,
then run `python -m deploy`."""
CALLERS_FAULTS = (
    *("invalid_request", "too_large", "context_exceeded"),
    *("unauthenticated", "not_permitted"),
    *("model_not_found", "request_cancelled", "cancelled"),
)
"""Ways to end that say nothing of the server."""


@dataclass(frozen=True)
class Objective:
    """A share of events that has to be good.

    Attributes:
        name: value of the label ``slo``.
        title: what its row on a dashboard is called.
        alert: name of its alerts.
        target: query of the share, by job and model.
        good, events: queries of how many there are a second, by job and model; WINDOW stands for the time they cover.
        says: the promise in words.
    """

    name: str
    title: str
    alert: str
    target: str
    good: str
    events: str
    says: str


_FAULTS = "|".join(CALLERS_FAULTS)
_ANSWERED = 'rate(attendant_request_success_total{finished_reason!="cancelled"}[WINDOW])'


def by_model(query: str, aggregate: str = "sum") -> str:
    """A query's series, brought together for each model of each job."""
    return f"{aggregate} by (job, model_name) ({query})"


def _told(name: str, title: str, alert: str, counter: str, says: str) -> Objective:
    """One that the server has in its settings and counts by itself."""
    return Objective(
        name=name,
        title=title,
        alert=alert,
        target=by_model(f'attendant_slo_target_ratio{{slo="{name}"}}', "max"),
        good=by_model(f'rate(attendant_slo_attained_total{{slo="{name}"}}[WINDOW])'),
        events=by_model(f"rate({counter}[WINDOW])"),
        says=says,
    )


OBJECTIVES = (
    _told(
        name="ttft",
        title="First tokens come in time (slo.objectives: ttft)",
        alert="AttendantFirstTokenBudget",
        counter="attendant_time_to_first_token_seconds_count",
        says="first tokens come in time",
    ),
    _told(
        name="itl",
        title="Further tokens come in time (slo.objectives: itl)",
        alert="AttendantInterTokenBudget",
        counter="attendant_inter_token_latency_seconds_count",
        says="further tokens come in time",
    ),
    _told(
        name="latency",
        title="Results of models that encode come in time (slo.objectives: latency)",
        alert="AttendantLatencyBudget",
        counter='attendant_encoder_requests_total{outcome="success"}',
        says="results of models that encode come in time",
    ),
    Objective(
        name="errors",
        title=f"Requests are answered ({100 * ERRORS_SHARE:g} %)",
        alert="AttendantErrorBudget",
        target=f"0 * {by_model('attendant_model_ready', 'max')} + {ERRORS_SHARE:g}",
        good=by_model(f'{_ANSWERED} or rate(attendant_encoder_requests_total{{outcome="success"}}[WINDOW])'),
        events=by_model(
            f'{_ANSWERED} or rate(attendant_request_failure_total{{error!~"{_FAULTS}"}}[WINDOW]) '
            f'or rate(attendant_encoder_requests_total{{outcome!~"{_FAULTS}"}}[WINDOW])'
        ),
        says="requests are answered",
    ),
)
