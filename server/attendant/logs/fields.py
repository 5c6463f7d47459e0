"""What a line says of a request: names, units, and what is left out."""

from __future__ import annotations

from typing import Any

from attendant.core.tally import Tally


def fields_of(tally: Tally) -> dict[str, Any]:
    """The fields of a request that has ended, in their order. What does not apply to it is not there."""
    assert tally.how is not None, "it has ended"
    first = tally.models[0] if tally.models else ("", "")
    told: dict[str, Any] = {
        "request_id": tally.request_id,
        "trace_id": tally.trace_id,
        "span_id": tally.span_id,
        "part": tally.part,
        "protocol": tally.protocol,
        "method": tally.method,
        "model": first[0] or tally.requested,
        "version": first[1],
        "requested_model": tally.requested if first[0] and tally.requested != first[0] else "",
        "models": [name for name, _ in tally.models] if len(tally.models) > 1 else [],
        "caller": tally.subject,
        "tenant": tally.tenant,
        "client": tally.client,
        "priority": tally.priority or None,
        "requests": tally.num_parts or None,
        "stream": tally.stream,
        "n": tally.n or None,
        "prompt_tokens": tally.prompt_tokens,
        "cached_tokens": tally.cached_tokens,
        "completion_tokens": tally.completion_tokens,
        "rows": tally.rows or None,
        "images": tally.images or None,
        "audio_s": None if tally.audio_s is None else round(tally.audio_s, 3),
        "queue_ms": _milliseconds(tally.first_scheduled_ns, tally),
        "first_token_ms": _milliseconds(tally.first_token_ns, tally),
        "total_ms": _milliseconds(tally.end_ns, tally),
        "finish_reasons": tally.reasons,
        "preemptions": tally.preemptions or None,
        "outcome": tally.outcome,
        "code": tally.how.status,
        "error": "" if tally.error is None else tally.error.__name__,
        "prompt": tally.prompt,
        "answers": [tally.answers[index] for index in sorted(tally.answers)],
    }
    return {name: value for name, value in told.items() if value is not None and value not in ("", [])}


def _milliseconds(at_ns: int, tally: Tally) -> float | None:
    """From the arrival to ``at_ns``; None for what has never come."""
    return round((at_ns - tally.arrival_ns) / 1e6, 3) if at_ns else None
