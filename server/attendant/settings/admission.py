"""The section of who is let in, and who is given up, when there is more work than can be done."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from attendant.core.fair_order import OrderRules
from attendant.settings.section import Section


class AdmissionSettings(Section):
    """Who is let in, and who is given up, when there is more work than can be done in time."""

    predict: bool = Field(
        True,
        description="Refuse requests with a deadline, or with a time for their first token, that would be late as "
        "things stand, at once and with RESOURCE_EXHAUSTED. Others are never refused so.",
    )
    end_hopeless: bool = Field(
        True, description="End requests that cannot meet their deadline any more, before it comes."
    )
    max_queue_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Tokens of prompts that may wait to be computed, of each model that generates; a request beyond "
        "that is refused with RESOURCE_EXHAUSTED, unless nobody waits. Default: as many as engine.max_queue allows.",
    )
    fair: bool = Field(
        True,
        description="Let callers share each model: of those who wait, the one goes next whose tenant has had least, in "
        "tokens. Otherwise requests go in order of arrival, whoever sends them.",
    )
    light_first: bool = Field(
        True,
        description="Let a caller who has few requests of a model that generates not wait for one who has many: there "
        "are places for it that the other cannot take, and its prompts are computed before the other's. Only if fair.",
    )
    max_tenant_requests: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Requests of one tenant that may run or wait, of each model that generates; more are refused with "
        "RESOURCE_EXHAUSTED. Default: any number, but a full queue makes room for tenants that have fewer, if fair.",
    )
    max_tenant_rows: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Inputs of one tenant that may run or wait, of each model that encodes; a new call beyond that is "
        "refused with RESOURCE_EXHAUSTED. Default: any number, but a full queue has room for tenants that have few, "
        "if fair.",
    )
    aging_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        10.0,
        description="Seconds of waiting that count as one more of priority, up to the highest priority that waits. "
        "0: none do, and low priorities wait as long as higher ones come.",
    )
    take_places: bool = Field(
        False,
        description="Let a request that finds no room take the place of a running one of lower priority, which is "
        "computed again later.",
    )

    def order_rules(self) -> OrderRules:
        """The order of those who wait."""
        return OrderRules(self.fair, round(self.aging_s * 1e9), self.take_places, self.light_first)
