"""What TEI's bodies ask for, as calls of the front end. ``model``: its name, or empty for the only one of its kind."""

from __future__ import annotations

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, EmbedSparseCall, RerankCall
from attendant.http.api.tei.bodies import CutBody, EmbedAllBody, EmbedBody, PredictBody, TeiRerankBody


def embed_call(body: EmbedBody, model: str) -> EmbedCall:
    """A vector of each input."""
    return EmbedCall(
        model,
        body.inputs,
        truncate=bool(body.truncate),
        truncate_left=_left(body),
        dimensions=body.dimensions,
        normalize=body.normalize,
        prompt=body.prompt_name or "",
    )


def embed_all_call(body: EmbedAllBody, model: str) -> EmbedCall:
    """A vector of each token of each input."""
    return EmbedCall(
        model,
        body.inputs,
        truncate=bool(body.truncate),
        truncate_left=_left(body),
        per_token=True,
        prompt=body.prompt_name or "",
    )


def embed_sparse_call(body: EmbedAllBody, model: str) -> EmbedSparseCall:
    """Weights of the vocabulary's tokens. Raises InvalidRequest for a prompt, which such models have none of."""
    if body.prompt_name:
        raise InvalidRequest("prompt_name", f"is {body.prompt_name[:100]!r}; allowed: none, as such models have none")
    return EmbedSparseCall(model, body.inputs, truncate=bool(body.truncate), truncate_left=_left(body))


def predict_call(body: PredictBody, model: str) -> ClassifyCall:
    """All labels of each input."""
    items, _ = body.inputs
    return ClassifyCall(
        model, items, truncate=bool(body.truncate), truncate_left=_left(body), raw_scores=body.raw_scores
    )


def rerank_call(body: TeiRerankBody, model: str) -> RerankCall:
    """Texts in order."""
    return RerankCall(
        model,
        body.query,
        body.texts,
        truncate=bool(body.truncate),
        truncate_left=_left(body),
        return_documents=body.return_text,
        raw_scores=body.raw_scores,
    )


def _left(body: CutBody) -> bool:
    """Whether a text that is too long loses its begin."""
    return bool(body.truncate) and (body.truncation_direction or "").lower() == "left"
