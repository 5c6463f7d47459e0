"""Every path of the HTTP APIs that takes a body, what it reads it as, and one that it answers: for tests of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.http.docs.described import DESCRIBED
from pydantic import BaseModel

BODIES: Mapping[str, type[BaseModel]] = {
    path: described.body
    for path, described in DESCRIBED.items()
    if described.body is not None and "{version}" not in path
}
"""By path. What has a version in its path, too, reads the same."""

FORMS = frozenset(path for path, described in DESCRIBED.items() if described.form)
"""Paths whose bodies are forms with a file in them."""

CHAT = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Where is my order?"}],
    "max_tokens": 2,
    "temperature": 0,
}
TEXT_TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "demo", "prompt": "Where is my order?", "max_tokens": 2},
    "/v1/responses": {"model": "demo", "input": "Where is my order?", "max_output_tokens": 2},
    "/v1/embeddings": {"model": "vectors", "input": ["hello", "you"]},
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": {"model": "demo", "messages": CHAT["messages"]},
    "/v1/rerank": {"model": "ranks", "query": "a", "documents": ["b", "c"]},
    "/v2/rerank": {"model": "ranks", "query": "a", "documents": ["b", "c"]},
    "/score": {"model": "ranks", "text_1": "a", "text_2": ["b", "c"]},
    "/v1/score": {"model": "ranks", "text_1": "a", "text_2": ["b", "c"]},
    "/classify": {"model": "moods", "input": ["a"]},
    "/tokenize": {"model": "demo", "prompt": "hello"},
    "/detokenize": {"model": "demo", "tokens": [5, 6]},
    "/embed": {"inputs": "a"},
    "/embed_all": {"inputs": ["a"]},
    "/embed_sparse": {"inputs": "a"},
    "/predict": {"inputs": "a"},
    "/rerank": {"query": "a", "texts": ["b", "c"]},
    "/v2/models/{model}/infer": {"inputs": [TEXT_TENSOR]},
    "/v2/models/{model}/generate": {"text_input": "hello", "max_tokens": 2},
    "/v2/models/{model}/generate_stream": {"text_input": "hello", "max_tokens": 2},
    "/v2/repository/index": {},
}
"""Bodies for a server with the demo models and a tiny encoder for each task. Without a model in it: the path names one,
or just one does it."""

ONE_OF_TWO = frozenset({"/predict"})
"""Two models of that server classify, and these examples do not say which."""
