"""What every section of the settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings: immutable, and without fields that are not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")
