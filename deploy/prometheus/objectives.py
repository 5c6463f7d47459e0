"""What is promised of each model, in numbers that are yours to set: change them here, then `python -m deploy`."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_TOKEN_S = 1.0
"""Seconds to the first token that an objective allows: a bucket of attendant_time_to_first_token_seconds."""
INTER_TOKEN_S = 0.1
"""Seconds between two tokens that an objective allows: a bucket of attendant_inter_token_latency_seconds."""
CALLERS_FAULTS = ("invalid_request", "model_not_found", "request_cancelled", "cancelled")
"""Ways to end that say nothing of the server."""


@dataclass(frozen=True)
class Objective:
    """A share of events that has to be good.

    Attributes:
        name: value of the label ``slo``.
        alert: name of its alerts.
        share: of events that are good, e.g. 0.99.
        good, events: queries of how many there are a second, by model; WINDOW stands for the time they cover.
        says: the promise in words.
    """

    name: str
    alert: str
    share: float
    good: str
    events: str
    says: str

    @property
    def budget(self) -> float:
        """Share of events that may be bad."""
        return round(1 - self.share, 6)


_BY = "sum by (job, model_name)"
_FAULTS = "|".join(CALLERS_FAULTS)


def _within(histogram: str, seconds: float) -> tuple[str, str]:
    """Queries of a histogram's events that took at most ``seconds``, and of all its events."""
    return (
        f'{_BY} (rate({histogram}_bucket{{le="{seconds}"}}[WINDOW]))',
        f"{_BY} (rate({histogram}_count[WINDOW]))",
    )


_FIRST_TOKEN = _within("attendant_time_to_first_token_seconds", FIRST_TOKEN_S)
_INTER_TOKEN = _within("attendant_inter_token_latency_seconds", INTER_TOKEN_S)
_ANSWERED = 'rate(attendant_request_success_total{finished_reason!="cancelled"}[WINDOW])'

OBJECTIVES = (
    Objective(
        name="first_token",
        alert="AttendantFirstTokenBudget",
        share=0.99,
        good=_FIRST_TOKEN[0],
        events=_FIRST_TOKEN[1],
        says=f"99 % of first tokens come within {FIRST_TOKEN_S:g} s",
    ),
    Objective(
        name="inter_token",
        alert="AttendantInterTokenBudget",
        share=0.99,
        good=_INTER_TOKEN[0],
        events=_INTER_TOKEN[1],
        says=f"99 % of further tokens come within {INTER_TOKEN_S:g} s of the one before",
    ),
    Objective(
        name="errors",
        alert="AttendantErrorBudget",
        share=0.995,
        good=f'{_BY} ({_ANSWERED} or rate(attendant_encoder_requests_total{{outcome="success"}}[WINDOW]))',
        events=f'{_BY} ({_ANSWERED} or rate(attendant_request_failure_total{{error!~"{_FAULTS}"}}[WINDOW]) '
        f'or rate(attendant_encoder_requests_total{{outcome!~"{_FAULTS}"}}[WINDOW]))',
        says="99.5 % of requests that the caller did not spoil or cancel are answered",
    ),
)
