"""What a small config of one type needs beyond the small sizes that all get; of a part where the value is a mapping."""

from __future__ import annotations

from typing import Any

NEEDS: dict[str, dict[str, Any]] = {}
