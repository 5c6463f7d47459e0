"""The objectives: what is promised, how much of the budget is left, how fast it goes. Its queries are of series that
deploy/prometheus/attendant.rules.yaml records."""

from __future__ import annotations

from deploy.grafana.board import JOB, MODELS, Board, Row
from deploy.grafana.panel import Panel, Query, more_is_better, more_is_worse
from deploy.grafana.queries import SERIES
from deploy.prometheus.burn import BAD, EVENTS, HOURS
from deploy.prometheus.objectives import OBJECTIVES, Objective


def _bad(objective: Objective, window: str) -> str:
    return f'{BAD}{window}{{{SERIES}, slo="{objective.name}"}}'


def _row(objective: Objective) -> Row:
    budget = f"{objective.budget:g}"
    return Row(
        f"{objective.says[0].upper()}{objective.says[1:]}",
        (
            Panel(
                "Kept, in three days",
                f"Share of events that were good. The objective is {objective.share:g}.",
                (Query(f"1 - {_bad(objective, '3d')}", "{{model_name}}"),),
                "percentunit",
                "stat",
                width=4,
                most=1,
                steps=more_is_better(round(1 - 3 * objective.budget, 6), objective.share),
            ),
            Panel(
                "How fast the budget goes",
                "1 uses up what the objective allows exactly in the time that it is meant for. It pages at 14.4 over "
                "an hour or 6 over six hours, and writes a ticket at 3 over a day or 1 over three days.",
                tuple(
                    Query(f"{_bad(objective, window)} / {budget}", f"{{{{model_name}}}} {window}")
                    for window in ("1h", "6h", "1d", "3d")
                ),
                "short",
                width=10,
                steps=more_is_worse(1, 14.4),
            ),
            Panel(
                "Bad events",
                "Share of events that were bad, over short windows: whether it goes on now.",
                tuple(Query(_bad(objective, window), f"{{{{model_name}}}} {window}") for window in ("5m", "30m", "2h")),
                "percentunit",
                width=6,
            ),
            Panel(
                "Events",
                "How many a second. Alerts wait for 100 in their longer window: of few, one bad one is chance.",
                tuple(
                    Query(f'{EVENTS}{window}{{{SERIES}, slo="{objective.name}"}}', f"{{{{model_name}}}} {window}")
                    for window in HOURS
                    if window in ("5m", "1h")
                ),
                "short",
                width=4,
            ),
        ),
    )


BOARD = Board(
    uid="attendant-objectives",
    title="Attendant / Objectives",
    says="What is promised, how much of it was kept, and how fast the budget of bad events goes. "
    "Needs the recording rules of deploy/prometheus.",
    variables=(JOB, MODELS),
    rows=tuple(_row(objective) for objective in OBJECTIVES),
    refresh="1m",
    since="now-24h",
)
