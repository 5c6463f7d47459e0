"""The fields of /v1/rerank and /v2/rerank, and of vLLM's /score and /classify."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, PlainValidator

from attendant.core.errors import InvalidRequest
from attendant.http.api.bodies import ApiBody

MOST_DOCUMENTS = 10_000
"""Of one call, as Cohere has it."""

MOST_TEXTS = 2048
"""Of a call for scores or labels."""

Document = str | dict[str, Any]


def read_documents(value: Any) -> list[Document]:
    """Texts, or objects that have one as ``text``.

    Raises:
        InvalidRequest: something else, or too many.
    """
    if not isinstance(value, list):
        raise InvalidRequest("documents", "is no list; allowed: texts, or objects with a text")
    if len(value) > MOST_DOCUMENTS:
        raise InvalidRequest("documents", f"has {len(value)} items; allowed: at most {MOST_DOCUMENTS}")
    for index, item in enumerate(value):
        if isinstance(item, str) or (isinstance(item, dict) and isinstance(item.get("text"), str)):
            continue
        allowed = '"..." or {"text": "..."}'
        raise InvalidRequest(f"documents[{index}]", f"is no text and no object with one; allowed: {allowed}")
    return value


def read_texts(field: str) -> PlainValidator:
    """A validator of a text, or of texts; it raises InvalidRequest, which names ``field``."""

    def read(value: Any) -> list[str]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
            raise InvalidRequest(field, "is no text, nor texts; allowed: a text, or a list with at least one")
        if len(texts) > MOST_TEXTS:
            raise InvalidRequest(field, f"has {len(texts)} items; allowed: at most {MOST_TEXTS}")
        return texts

    return PlainValidator(read, json_schema_input_type=str | list[str])


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
    text_1: Annotated[Any, read_texts("text_1")] = Field(validation_alias=AliasChoices("text_1", "queries"))
    text_2: Annotated[Any, read_texts("text_2")] = Field(validation_alias=AliasChoices("text_2", "documents"))
    truncate: bool | None = None
    truncate_prompt_tokens: Literal[-1] | None = None
    use_activation: bool | None = None
    activation: bool | None = None
    user: str | None = None
    priority: Literal[0] | None = None


class ClassifyBody(ApiBody):
    """Of /classify."""

    model: str = ""
    input: Annotated[Any, read_texts("input")]
    truncate: bool | None = None
    truncate_prompt_tokens: int | None = Field(default=None, ge=-1)
    use_activation: bool | None = None
    activation: bool | None = None
    user: str | None = None
    priority: Literal[0] | None = None
