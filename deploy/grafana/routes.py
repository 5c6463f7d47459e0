"""The routes: where calls go, how well each target does, what shadows find."""

from __future__ import annotations

from deploy.grafana.board import JOB, Board, Row, Variable
from deploy.grafana.panel import GREEN, RED, Panel, Query
from deploy.grafana.queries import WINDOW

ROUTES = Variable("route", "Route", "route", 'attendant_route_ready{job=~"$job"}')
SERIES = 'job=~"$job", route=~"$route"'
TARGET = "{{route}} {{target}}"


def _total(metric: str, *by: str, matchers: str = "") -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}{{{SERIES}{', ' if matchers else ''}{matchers}}}{WINDOW}))"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share:g}, {_total('attendant_route_seconds_bucket', 'route', 'target', 'le')})"


_ANSWERED = _total("attendant_route_requests_total", "route", "target", matchers='outcome="success"')
_ALL = _total("attendant_route_requests_total", "route", matchers='outcome="success"')
_FAILED = _total("attendant_route_requests_total", "route", "target", "outcome", matchers='outcome!="success"')

WAYS = Row(
    "Where calls go",
    (
        Panel(
            "Routes that take calls",
            "Red: what the route leads to is not there, is being loaded, or has failed. `attendant models` says which.",
            (Query(f"min by (route) (attendant_route_ready{{{SERIES}}})", "{{route}}"),),
            "short",
            "state-timeline",
            words=((1, "ready", GREEN), (0, "not ready", RED)),
        ),
        Panel(
            "Calls by target",
            "Calls that were answered, by what the route led them to: a model, a member of an ensemble, or a step.",
            (Query(_ANSWERED, TARGET),),
            "reqps",
        ),
        Panel(
            "Share of a route's calls",
            "For canaries this should be near the weights in the routes file. Members and steps get the same each.",
            (Query(f"{_ANSWERED} / on (route) group_left () {_ALL}", TARGET),),
            "percentunit",
            most=1,
        ),
        Panel(
            "Calls that failed",
            "By what the route led them to, and how they ended. Without a target, the route refused them itself.",
            (Query(_FAILED, "{{route}} {{target}} {{outcome}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Time of targets",
            "From where a target got a call to its last word: what a canary costs beside the others, and which step of "
            "a pipeline is the slow one.",
            (Query(_quantile(0.5), f"{TARGET} p50"), Query(_quantile(0.99), f"{TARGET} p99")),
            "s",
        ),
        Panel(
            "Routes file read again",
            "By what came of it: done, or refused, when the routes stayed as they were and the log says why.",
            (Query('sum by (outcome) (increase(attendant_routes_reloads_total{job=~"$job"}[1h]))', "{{outcome}}"),),
            "short",
        ),
    ),
)

SHADOWS = Row(
    "What shadows find",
    (
        Panel(
            "Shadows' answers",
            "Equal to what callers got, or different; failed; dropped, as others ran still; skipped, as sound that "
            "comes in pieces is not kept.",
            (
                Query(
                    _total("attendant_shadow_requests_total", "route", "target", "outcome"),
                    "{{route}} {{target}} {{outcome}}",
                ),
            ),
            "reqps",
            width=12,
            stacked=True,
        ),
        Panel(
            "Distance from callers' answers",
            "The mean, 0 to 1: of lengths of texts, of first labels that differ, of the largest difference of a score.",
            (
                Query(
                    f"{_total('attendant_shadow_distance_sum', 'route', 'target', 'measure')} / "
                    f"{_total('attendant_shadow_distance_count', 'route', 'target', 'measure')}",
                    "{{route}} {{target}} {{measure}}",
                ),
            ),
            "percentunit",
            width=12,
            most=1,
        ),
    ),
)

BOARD = Board(
    uid="attendant-routes",
    title="Attendant / Routes",
    says="Where the names in the routes file lead calls, how well each target does, and what shadows find.",
    variables=(JOB, ROUTES),
    rows=(WAYS, SHADOWS),
)
