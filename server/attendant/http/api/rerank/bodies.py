"""The fields of /v1/rerank and /v2/rerank, and of vLLM's /score and /classify."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, PlainValidator

from attendant.core.errors import InvalidRequest
from attendant.http.api.bodies import ApiBody
from attendant.http.api.items import check_number, texts

MOST_DOCUMENTS = 10_000
"""Of one call, as Cohere has it."""

Document = str | dict[str, Any]


def read_documents(value: Any) -> list[Document]:
    """Texts, or objects that have one as ``text``.

    Raises:
        InvalidRequest: something else, or too many.
    """
    if not isinstance(value, list):
        raise InvalidRequest("documents", "is no list; allowed: texts, or objects with a text")
    check_number(value, "documents", MOST_DOCUMENTS)
    for index, item in enumerate(value):
        if isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("text"), str)):
            continue
        allowed = '"..." or {"text": "..."}'
        raise InvalidRequest(f"documents[{index}]", f"is no text and no object with one; allowed: {allowed}")
    return value


Documents = Annotated[Any, PlainValidator(read_documents, json_schema_input_type=list[Document])]


class RerankBody(ApiBody):
    """Of /v1/rerank: Jina's fields, those of Cohere's first version, and vLLM's.

    Only texts are read, each as a whole: what asks for other fields of a document, or for parts of it, is refused.
    """

    model: str = ""
    query: str
    documents: Documents
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool | None = None
    truncation: bool | None = None
    truncate: bool | None = None
    return_embeddings: Literal[False] | None = None
    user: str | None = None
    rank_fields: list[Literal["text"]] | None = None
    max_chunks_per_doc: Literal[1] | None = None
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    truncate_prompt_tokens: Literal[-1] | None = None
    use_activation: bool | None = None
    activation: bool | None = None
    priority: Literal[0] | None = None


class CohereBody(ApiBody):
    """Of /v2/rerank: Cohere's fields, and ``return_documents``, which it had before."""

    model: str
    query: str
    documents: Documents
    top_n: int | None = Field(default=None, ge=1)
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    return_documents: bool | None = None
    rank_fields: list[Literal["text"]] | None = None
    relevant_spans: None = None
    priority: Literal[0] | None = None


class ScoreBody(ApiBody):
    """Of /score: pairs of texts. One of the first goes with each of the second, or the first with the first, and so
    on."""

    model: str = ""
    text_1: Annotated[Any, texts("text_1")] = Field(validation_alias=AliasChoices("text_1", "queries"))
    text_2: Annotated[Any, texts("text_2")] = Field(validation_alias=AliasChoices("text_2", "documents"))
    truncate: bool | None = None
    truncate_prompt_tokens: Literal[-1] | None = None
    use_activation: bool | None = None
    activation: bool | None = None
    user: str | None = None
    priority: Literal[0] | None = None


class ClassifyBody(ApiBody):
    """Of /classify."""

    model: str = ""
    input: Annotated[Any, texts("input")]
    truncate: bool | None = None
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1)
    use_activation: bool | None = None
    activation: bool | None = None
    user: str | None = None
    priority: Literal[0] | None = None
