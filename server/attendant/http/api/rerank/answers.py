"""Ranks, scores and labels as Jina's, Cohere's and vLLM's objects."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attendant.frontend.encoding.calls import Encoded, EncodingUsage
from attendant.http.api.rerank.bodies import CohereBody, Document, RerankBody
from attendant.tasks.classification import Label, RankedDocument

SEARCHED_TOGETHER = 100
"""Documents of what Cohere counts as one search."""


def ranks(encoded: Encoded[RankedDocument], body: RerankBody, call_id: str) -> dict[str, Any]:
    """What /v1/rerank answers: what Jina's clients read, what vLLM's do, and what those of Cohere's first version do.
    Documents come back unless they are not wanted, as Jina has it."""
    return {
        "id": f"rerank-{call_id}",
        "object": "list",
        "model": body.model,
        "results": _results(encoded, body.documents, with_documents=body.return_documents is not False),
        "usage": _usage(encoded.usage),
        "meta": _meta(encoded.usage, len(body.documents), "1"),
    }


def cohere_ranks(encoded: Encoded[RankedDocument], body: CohereBody, call_id: str) -> dict[str, Any]:
    """What /v2/rerank answers. Documents come back only if they are wanted."""
    return {
        "id": call_id,
        "results": _results(encoded, body.documents, with_documents=body.return_documents is True),
        "meta": _meta(encoded.usage, len(body.documents), "2"),
    }


def scores(answers: Sequence[Encoded[RankedDocument]], model: str, call_id: str) -> dict[str, Any]:
    """What /score answers: of each pair in order."""
    found: list[float] = []
    for encoded in answers:
        found += [each.score for each in sorted(encoded.results, key=lambda each: each.index)]
    num_tokens = sum(encoded.usage.num_tokens for encoded in answers)
    return {
        **_listed(f"score-{call_id}", model),
        "data": [{"index": index, "object": "score", "score": score} for index, score in enumerate(found)],
        "usage": _tokens(num_tokens),
    }


def labels(encoded: Encoded[tuple[Label, ...]], model: str, call_id: str) -> dict[str, Any]:
    """What /classify answers: of each text the best label, and the score of every one in the model's order."""
    data = [
        {
            "index": index,
            "label": found[0].label,
            "probs": [label.score for label in sorted(found, key=lambda label: label.index)],
            "num_classes": len(found),
        }
        for index, found in enumerate(encoded.results)
    ]
    return {**_listed(f"classify-{call_id}", model), "data": data, "usage": _usage(encoded.usage)}


def _results(
    encoded: Encoded[RankedDocument], documents: Sequence[Document], *, with_documents: bool
) -> list[dict[str, Any]]:
    results = []
    for ranked in encoded.results:
        result: dict[str, Any] = {"index": ranked.index, "relevance_score": ranked.score}
        if with_documents:
            document = documents[ranked.index]
            result["document"] = {"text": document} if isinstance(document, str) else document
        results.append(result)
    return results


def _listed(call_id: str, model: str) -> dict[str, Any]:
    return {"id": call_id, "object": "list", "created": int(time.time()), "model": model}


def _usage(usage: EncodingUsage) -> dict[str, int]:
    return _tokens(usage.num_tokens)


def _tokens(count: int) -> dict[str, int]:
    return {"prompt_tokens": count, "total_tokens": count}


def _meta(usage: EncodingUsage, num_documents: int, version: str) -> dict[str, Any]:
    searches = -(-num_documents // SEARCHED_TOGETHER)
    return {
        "api_version": {"version": version},
        "billed_units": {"search_units": searches},
        "tokens": {"input_tokens": usage.num_tokens, "output_tokens": 0},
    }
