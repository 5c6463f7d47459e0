"""What every part of a manifest is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a manifest: immutable, and without fields that are not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")
