"""The section of the settings that says which versions of a repository's models are served, and how they change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from attendant.core.version_policy import Policies
from attendant.settings.section import Section


class RepositorySettings(Section):
    """Models that come and go: those of --model-repository."""

    policy: str = Field(
        "latest:1",
        description="Versions that are served of each model: latest:N (the N newest that can be loaded), all, or "
        "specific:1,3. Parted by semicolons and behind a model's name, of that model: latest:1; moods=all.",
    )
    control: Literal["poll", "explicit", "none"] = Field(
        "poll",
        description="What changes which models are served: the folder, looked at every poll_s seconds (poll); calls "
        "that load and unload (explicit), which are refused otherwise; or nothing after the start (none).",
    )
    poll_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        15.0, description="Seconds between two looks at the folder. A version that is being copied is not touched."
    )
    load: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",),
        description="With control explicit: names of the models that are loaded at the start, parted by commas; * all, "
        "empty none.",
    )

    @field_validator("policy")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        Policies.parse(value)
        return value

    @field_validator("load", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    def policies(self) -> Policies:
        """The policies, as the repository takes them."""
        return Policies.parse(self.policy)
