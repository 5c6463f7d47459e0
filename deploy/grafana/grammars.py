"""One model's row about structured output: what becomes of the grammars of calls."""

from __future__ import annotations

from deploy.grafana.board import Row
from deploy.grafana.panel import Panel, Query
from deploy.grafana.queries import quantiles, total

GRAMMARS = Row(
    "Structured output, if calls ask for it",
    (
        Panel(
            "Grammars of calls",
            "Calls a second with a grammar: known already, compiled, or refused.",
            (Query(total("attendant_grammar_requests_total", "outcome"), "{{outcome}}"),),
            "reqps",
        ),
        Panel(
            "Compiling a grammar",
            "Time to compile one that is new. It delays the call's first token, and nobody else's.",
            quantiles("attendant_grammar_compile_seconds"),
            "s",
        ),
    ),
)
