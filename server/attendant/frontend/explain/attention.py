"""What a model looked at: which rows of weights are asked for, whether they are few enough, and what they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attendant.core.attention import AttentionModel, AttentionShape, AttentionView
from attendant.core.errors import InvalidRequest
from attendant.frontend.explain.calls import AttentionCall, ExplainedToken
from attendant.frontend.explain.subjects import Looked
from attendant.sidework.reducer import num_kept


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for of a subject. ``queries``, ``keys``: what rows and columns of the weights belong to."""

    view: AttentionView
    shape: AttentionShape
    queries: tuple[ExplainedToken, ...]
    keys: tuple[ExplainedToken, ...]


def shape_of(call: AttentionCall, attention: AttentionModel, model: str) -> AttentionShape:
    """What the model has of the kind that is asked for.

    Raises:
        InvalidRequest: nothing, or not the layers or heads that are asked for, or not this reduction of it.
    """
    shapes = {shape.kind: shape for shape in attention.shapes}
    shape = shapes.get(call.kind)
    if shape is None:
        listed = ", ".join(each.upper() for each in shapes)
        raise InvalidRequest("kind", f"is {call.kind.upper()}, which {model!r} has not; allowed: {listed}")
    _check_numbers("layers", call.layers, shape.num_layers)
    _check_numbers("heads", call.heads, shape.num_heads)
    if call.reduction == "rollout":
        if call.kind == "cross":
            raise InvalidRequest("reduction", "is ROLLOUT; allowed with kind CROSS: any other")
        for field, numbers in (("layers", call.layers), ("heads", call.heads)):
            if numbers:
                raise InvalidRequest(field, "are given, and a rollout is of all; leave them out")
    return shape


def asked_for(call: AttentionCall, shape: AttentionShape, looked: Looked, max_weights: int) -> Asked:
    """What is kept of a subject's attention.

    Raises:
        InvalidRequest: rows that it has not, or more weights than may be.
    """
    rows = looked.sources if call.kind == "encoder" else looked.tokens
    first, count = _rows(call, looked, len(rows))
    causal = looked.causal and call.kind == "self"
    columns = looked.sources if call.kind == "cross" else rows
    keys = columns[: first + count] if causal else columns
    view = AttentionView(
        call.kind,
        tuple(sorted(call.layers)) or tuple(range(shape.num_layers)),
        tuple(sorted(call.heads)) or tuple(range(shape.num_heads)),
        call.reduction,
        first,
        count if causal or count < len(rows) else None,
        len(keys) if causal else None,
        call.without_sink,
    )
    _check_size(view, shape, count, len(keys), max_weights)
    return Asked(view, shape, rows[first : first + count], keys)


def _rows(call: AttentionCall, looked: Looked, num_rows: int) -> tuple[int, int]:
    """The first row, and how many."""
    if not call.answer_only:
        rest = num_rows - call.first_query
        if rest < 1:
            raise InvalidRequest("first_query", f"is {call.first_query}; allowed: 0 to {num_rows - 1}")
        if call.num_queries > rest:
            raise InvalidRequest(
                "num_queries", f"is {call.num_queries}; allowed from row {call.first_query} on: 0 to {rest}"
            )
        return call.first_query, call.num_queries or rest
    if call.first_query or call.num_queries:
        field = "first_query" if call.first_query else "num_queries"
        raise InvalidRequest(field, "stands beside answer_only; allowed: one of both")
    if call.kind == "encoder" or not looked.answer.token_ids:
        what = "kind ENCODER has" if call.kind == "encoder" else "this subject has"
        raise InvalidRequest("answer_only", f"is true, and {what} no answer; allowed: false")
    return looked.num_prompt - 1, len(looked.answer.token_ids)


def _check_numbers(field: str, numbers: Sequence[int], count: int) -> None:
    seen = set[int]()
    for place, number in enumerate(numbers):
        if not 0 <= number < count:
            raise InvalidRequest(f"{field}[{place}]", f"is {number}; allowed: 0 to {count - 1}")
        if number in seen:
            raise InvalidRequest(f"{field}[{place}]", f"is {number} once more; allowed: each number once")
        seen.add(number)


def _check_size(view: AttentionView, shape: AttentionShape, num_rows: int, num_keys: int, most: int) -> None:
    size = num_kept(view, shape, num_rows, num_keys)
    if size <= most:
        return
    less = "fewer layers or heads, a reduction of heads or of all, fewer rows (first_query, num_queries, answer_only)"
    if view.reduction == "rollout":
        less = "a shorter subject, or another reduction: a rollout holds the whole of each layer"
    elif view.reduction in ("mean", "max"):
        less = "fewer rows (first_query, num_queries, answer_only), or a shorter subject"
    elif view.reduction != "none":
        less = "fewer layers, a reduction of all, fewer rows (first_query, num_queries, answer_only)"
    said = f"asks for {size:,} weights; allowed: at most {most:,} (explain.max_weights); what makes it less: {less}"
    raise InvalidRequest("subject", said)
