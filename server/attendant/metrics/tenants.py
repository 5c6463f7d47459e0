"""The Prometheus collectors of what tenants get of models. Their names are callers' words: only so many are shown."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from attendant.core.events import TenantService
from attendant.metrics.labels import OTHER, ModelNames


class TenantMetrics:
    """What each tenant gets. Fed from the event loop's thread.

    Args:
        most: tenants with series of their own, the first that come; the others share one.
    """

    def __init__(self, registry: CollectorRegistry, names: ModelNames, most: int) -> None:
        self._names = names
        self._most = most
        self._own: set[str] = set()
        self._tokens = Counter(
            "attendant_tenant_tokens",
            "What tenants got of a model: input, tokens of prompts that were computed, or sizes of rows; output, "
            "tokens generated.",
            ("model_name", "tenant", "kind"),
            registry=registry,
        )
        self._index = Gauge(
            "attendant_fairness_index",
            "Jain's index of what those tenants got who had requests waiting for the last ten seconds: 1 is the same "
            "for each, 1/n all for one of n.",
            ("model_name",),
            registry=registry,
        )

    def served(self, model: str, served: Iterable[TenantService], index: float | None = None) -> None:
        """Tenants had so much. ``index``: of fairness, if it was found anew."""
        name = self._names.of(model)
        for tenant, num_input, num_output in served:
            label = self._label(tenant)
            if num_input:
                self._tokens.labels(name, label, "input").inc(num_input)
            if num_output:
                self._tokens.labels(name, label, "output").inc(num_output)
        if index is not None:
            self._index.labels(name).set(index)

    def _label(self, tenant: str) -> str:
        if tenant not in self._own:
            if len(self._own) >= self._most:
                return OTHER
            self._own.add(tenant)
        return tenant
