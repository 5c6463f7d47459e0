"""The section of the settings that says what the log is written in, and what it says of requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from attendant.settings.section import Section


class LogsSettings(Section):
    """The log, on standard error."""

    format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or an object of JSON in each line, also at the start and for failures."
    )
    requests: bool = Field(
        True,
        description="Write a line of each request when it has ended. They are of the level info, and those of requests "
        "that failed of warning: a log_level above takes them away.",
    )
    requests_share: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Share of the requests that have a line, by their ids; those that were refused or failed always "
        "have one.",
    )
    texts: bool = Field(
        False,
        description="Put prompts and answers into the lines of requests that generate. They may be personal data.",
    )
    max_text: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="Characters of a prompt, and of an answer, that a line has at most."
    )
