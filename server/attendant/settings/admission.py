"""Who is let in when there is more work than time."""

from __future__ import annotations

from pydantic import Field

from attendant.settings.section import Section


class AdmissionSettings(Section):
    """Who is let in, for each model."""

    predict: bool = Field(
        True,
        description="Refuse a request with RESOURCE_EXHAUSTED that would not be answered in the time that it has, and "
        "end one that waits and no longer can be. Requests without a deadline or a target are never refused for that.",
    )
