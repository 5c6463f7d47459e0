"""Who is let in when there is more work than time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from attendant.core.fair_order import OrderRules
from attendant.settings.section import Section


class AdmissionSettings(Section):
    """Who is let in, for each model."""

    predict: bool = Field(
        True,
        description="Refuse a request with RESOURCE_EXHAUSTED that would not be answered in the time that it has, and "
        "end one that waits and no longer can be. Requests without a deadline or a target are never refused for that.",
    )
    fair: bool = Field(
        True,
        description="Let callers share each model: of those who wait, the one goes next whose tenant has had least, in "
        "tokens. Otherwise requests go in order of arrival, whoever sends them.",
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
        return OrderRules(self.fair, round(self.aging_s * 1e9), self.take_places)
