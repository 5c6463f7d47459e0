"""The objectives: what is promised, how much of the budget is left, how fast it goes. Its queries are of series that
deploy/prometheus/attendant.rules.yaml records."""

from __future__ import annotations

from deploy.grafana.board import JOB, MODELS, Board, Row
from deploy.grafana.panel import Panel, Query, more_is_better, more_is_worse
from deploy.grafana.queries import SERIES, total
from deploy.prometheus.burn import BAD, EVENTS, TARGET
from deploy.prometheus.objectives import OBJECTIVES, Objective


def _bad(objective: Objective, window: str) -> str:
    return f'{BAD}{window}{{{SERIES}, slo="{objective.name}"}}'


def _budget(objective: Objective) -> str:
    return f'(1 - {TARGET}{{{SERIES}, slo="{objective.name}"}})'


def _lines(objective: Objective, form: str, *windows: str) -> tuple[Query, ...]:
    """A query for each window. ``form``: BAD stands for the share of bad events."""
    return tuple(
        Query(form.replace("BAD", _bad(objective, window)), f"{{{{model_name}}}} {window}") for window in windows
    )


def _kept(objective: Objective) -> tuple[Panel, Panel]:
    return (
        Panel(
            "Kept, in three days",
            "Share of events that were good, in the last three days.",
            (Query(f"1 - {_bad(objective, '3d')}", "{{model_name}}"),),
            "percentunit",
            "stat",
            width=4,
            most=1,
        ),
        Panel(
            "Budget left, of three days",
            "How much of the bad events that the objective allows in three days has not happened. Red: more of "
            "them happened than it allows.",
            (Query(f"1 - {_bad(objective, '3d')} / {_budget(objective)}", "{{model_name}}"),),
            "percentunit",
            "stat",
            width=4,
            most=1,
            steps=more_is_better(0, 0.5),
        ),
    )


def _row(objective: Objective) -> Row:
    events = f'{EVENTS}WINDOW{{{SERIES}, slo="{objective.name}"}}'
    return Row(
        objective.title,
        (
            *_kept(objective),
            Panel(
                "How fast the budget goes",
                "1 uses up what the objective allows exactly in the time that it is meant for. It pages at 14.4 over "
                "an hour or 6 over six hours, and writes a ticket at 3 over a day or 1 over three days.",
                _lines(objective, f"BAD / {_budget(objective)}", "1h", "6h", "1d", "3d"),
                "short",
                width=8,
                steps=more_is_worse(1, 14.4),
            ),
            Panel(
                "Bad events",
                "Share of events that were bad, over short windows: whether it goes on now.",
                _lines(objective, "BAD", "5m", "30m", "2h"),
                "percentunit",
                width=4,
            ),
            Panel(
                "Events",
                "How many a second. Alerts wait for 100 in their longer window: of few, one bad one is chance.",
                tuple(Query(events.replace("WINDOW", w), f"{{{{model_name}}}} {w}") for w in ("5m", "1h")),
                "short",
                width=4,
            ),
        ),
    )


_PROMISED = "max by (model_name, slo)"
GOODPUT = Row(
    "What is promised, and how much is kept",
    (
        Panel(
            "Promised time",
            "How long a first token (ttft), a further token (itl) or the results of a model that encodes (latency) may "
            "take, by the setting slo.objectives.",
            (Query(f"{_PROMISED} (attendant_slo_limit_seconds{{{SERIES}}})", "{{model_name}} {{slo}}"),),
            "s",
            "stat",
            width=5,
        ),
        Panel(
            "Promised share",
            "How many of them may not take longer, by the setting slo.objectives.",
            (Query(f"{_PROMISED} (attendant_slo_target_ratio{{{SERIES}}})", "{{model_name}} {{slo}}"),),
            "percentunit",
            "stat",
            width=5,
            most=1,
        ),
        Panel(
            "Goodput",
            "Requests a second whose first token and whose pace were both as promised, and calls on models that encode "
            "whose results were, beside all that were answered. Where the two part, more load makes nobody happier.",
            (
                Query(total("attendant_slo_attained_total", matchers='slo="request"'), "{{model_name}} as promised"),
                Query(
                    total("attendant_request_success_total", matchers='finished_reason!="cancelled"'),
                    "{{model_name}} answered",
                ),
                Query(total("attendant_slo_attained_total", matchers='slo="latency"'), "{{model_name}} in time"),
                Query(
                    total("attendant_encoder_requests_total", matchers='outcome="success"'), "{{model_name}} results"
                ),
            ),
            "reqps",
            width=14,
        ),
    ),
)

BOARD = Board(
    uid="attendant-objectives",
    title="Attendant / Objectives",
    says="What is promised, how much of it was kept, and how fast the budget of bad events goes. "
    "Needs the recording rules of deploy/prometheus.",
    variables=(JOB, MODELS),
    rows=(GOODPUT, *(_row(objective) for objective in OBJECTIVES)),
    refresh="1m",
    since="now-24h",
)
