"""What bodies of reranking and of its like ask for, as calls of the front end."""

from __future__ import annotations

from collections.abc import Sequence

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import ClassifyCall, RerankCall, TextItem
from attendant.http.api.rerank.bodies import ClassifyBody, CohereBody, Document, RerankBody, ScoreBody


def rerank_call(body: RerankBody) -> RerankCall:
    """A reranking. What is too long for the model is cut, as Jina and Cohere do it, unless a caller says otherwise.

    Raises:
        InvalidRequest: scores both raw and not.
    """
    return RerankCall(
        model=body.model,
        query=body.query,
        documents=[_text(document) for document in body.documents],
        truncate=body.truncation is not False and body.truncate is not False,
        top_k=body.top_n,
        max_document_tokens=body.max_tokens_per_doc,
        raw_scores=_raw(body.use_activation, body.activation),
    )


def cohere_call(body: CohereBody) -> RerankCall:
    """A reranking. What is too long for the model is cut, as Cohere does it."""
    return RerankCall(
        model=body.model,
        query=body.query,
        documents=[_text(document) for document in body.documents],
        truncate=True,
        top_k=body.top_n,
        max_document_tokens=body.max_tokens_per_doc,
    )


def score_calls(body: ScoreBody) -> list[RerankCall]:
    """A call for each text of the first, unless there is just one, which is compared with all of the second.

    Raises:
        InvalidRequest: several of the first, and not as many of the second; scores both raw and not.
    """
    queries, documents = body.text_1, body.text_2
    if len(queries) not in (1, len(documents)):
        allowed = f"1 or {len(documents)}, as many as text_2 has"
        raise InvalidRequest("text_1", f"has {len(queries)} texts; allowed: {allowed}")
    raw = _raw(body.use_activation, body.activation)
    truncate = body.truncate is True or body.truncate_prompt_tokens is not None
    together = [(queries[0], documents)] if len(queries) == 1 else list(zip(queries, _alone(documents), strict=True))
    return [
        RerankCall(body.model, query, texts, truncate=truncate, raw_scores=raw, patient=len(together) > 1)
        for query, texts in together
    ]


def classify_call(body: ClassifyBody) -> ClassifyCall:
    """All labels of each text. Raises InvalidRequest: scores both raw and not."""
    most = body.truncate_prompt_tokens
    return ClassifyCall(
        model=body.model,
        inputs=[TextItem(each) for each in body.input],
        truncate=body.truncate is True or most is not None,
        max_tokens=None if most == -1 else most,
        raw_scores=_raw(body.use_activation, body.activation),
    )


def _alone(texts: Sequence[str]) -> list[list[str]]:
    return [[text] for text in texts]


def _text(document: Document) -> str:
    return document if isinstance(document, str) else str(document["text"])


def _raw(use_activation: bool | None, activation: bool | None) -> bool:
    """Whether scores are a model's own numbers. ``activation`` is what vLLM called it before."""
    if use_activation is not None and activation is not None and use_activation is not activation:
        raise InvalidRequest("activation", f"is {activation} beside use_activation {use_activation}")
    return use_activation is False or activation is False
