"""Who is turned away at the door, and how long the server's certificate is valid."""

from __future__ import annotations

from deploy.grafana.board import Row
from deploy.grafana.panel import Panel, Query, more_is_better
from deploy.grafana.queries import WINDOW

CALLERS = Row(
    "Who calls",
    (
        Panel(
            "Turned away",
            "Calls of callers who are not known, or may not make them, by why. `unknown` that stays is a client with "
            "an old token, or somebody who tries; the log (`attendant.audit`) has the hosts. Empty where callers are "
            "not asked.",
            (Query(f'sum by (reason) (rate(attendant_auth_refusals_total{{job=~"$job"}}{WINDOW}))', "{{reason}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Refused within",
            "What it costs the server to refuse a call over gRPC for want of room or time, from where it is taken up: "
            "what half of them, one in ten and one in a hundred exceed. Empty where nobody is refused.",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate(attendant_refusal_seconds_bucket"
                    f'{{job=~"$job"}}{WINDOW})))',
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.9, 0.99)
            ),
            "s",
        ),
        Panel(
            "Work by caller",
            "Tokens a second that callers get, of prompts and generated; of models that encode the size of rows. "
            "`_other` is all callers beyond `metrics.most_tenants`.",
            (Query(f'sum by (tenant) (rate(attendant_tenant_tokens_total{{job=~"$job"}}{WINDOW}))', "{{tenant}}"),),
            "short",
            stacked=True,
        ),
        Panel(
            "Evenness",
            "Jain's index of what those callers got who had requests waiting for ten seconds: 1 is the same for each. "
            "It stays near 1 under any load if callers share (`admission.fair`).",
            (Query('min by (model_name) (attendant_fairness_index{job=~"$job"})', "{{model_name}}"),),
            "percentunit",
            most=1,
        ),
        Panel(
            "Certificate",
            "Time until the server's certificate is not valid any more. Empty without TLS.",
            (
                Query(
                    'min by (instance) (attendant_tls_certificate_expiry_seconds{job=~"$job"}) - time()',
                    "{{instance}}",
                ),
            ),
            "s",
            "stat",
            steps=more_is_better(7 * 86400, 21 * 86400),
        ),
    ),
)
