"""Models as Anthropic's clients list them, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attendant.core.errors import InvalidRequest

VERSION = "anthropic-version"
"""The header that says that a caller is one of them."""

USUAL, MOST = 20, 1000
"""Models of a page."""


def model_page(models: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of models.

    Args:
        models: as OpenAI's clients list them.
        asked: ``limit``, and ``after_id`` or ``before_id``, the name of a model that the page is next to.

    Raises:
        InvalidRequest: a limit that is none, or a name that no model has.
    """
    limit = asked.get("limit", str(USUAL))
    if not limit.isdecimal() or len(limit) > 4 or not 1 <= int(limit) <= MOST:
        raise InvalidRequest("limit", f"is {limit[:40]!r}; allowed: 1 to {MOST}")
    names = [str(model["id"]) for model in models]
    begin, end = 0, len(models)
    if (after := asked.get("after_id")) is not None:
        begin = _place(names, after, "after_id") + 1
    if (before := asked.get("before_id")) is not None:
        end = _place(names, before, "before_id")
        begin = max(begin, end - int(limit))
    page = [model_object(model) for model in models[begin : min(end, begin + int(limit))]]
    left = begin > 0 if before is not None else begin + len(page) < end
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"data": page, "has_more": left, **ends}


def model_object(model: Mapping[str, Any]) -> dict[str, Any]:
    """One model, from its object for OpenAI's clients."""
    created = datetime.fromtimestamp(model["created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"type": "model", "id": model["id"], "display_name": model["id"], "created_at": created}
    length = model.get("max_model_len")
    return {**told, "lifecycle": "active", "max_input_tokens": length, "max_tokens": length}


def _place(names: Sequence[str], name: str, field: str) -> int:
    if name not in names:
        raise InvalidRequest(field, f"is {name[:100]!r}; allowed: the id of a model that is listed")
    return names.index(name)
