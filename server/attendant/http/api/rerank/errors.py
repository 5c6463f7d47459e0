"""How errors are told where texts are reranked: below /v2 as Cohere does it, elsewhere as vLLM does, which is OpenAI's
way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attendant.core.context import current_call
from attendant.core.errors import AttendantError
from attendant.http.api.dialect import Dialect
from attendant.http.api.openai.errors import OPENAI

_FIELDS = {"top_k": "top_n", "max_document_tokens": "max_tokens_per_doc"}


def cohere_error(error: AttendantError, status: int) -> dict[str, Any]:
    """The object that says what was wrong."""
    context = current_call()
    return {"id": context.request_id if context is not None else "", "message": str(error)}


COHERE = Dialect(cohere_error, _FIELDS)
RERANK = replace(OPENAI, fields=_FIELDS)
SCORE = replace(OPENAI, fields={"query": "text_1", "documents": "text_2"})
CLASSIFY = replace(OPENAI, fields={"inputs": "input", "max_tokens": "truncate_prompt_tokens"})
