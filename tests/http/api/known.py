"""Every path of the HTTP APIs that takes a body, what it reads it as, and one that it answers: for tests of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant.http.api.anthropic.bodies import CountTokensBody, MessagesBody
from attendant.http.api.openai.audio_body import TranscriptionBody, TranslationBody
from attendant.http.api.openai.chat_body import ChatBody
from attendant.http.api.openai.completion_body import CompletionBody
from attendant.http.api.openai.embeddings import EmbeddingsBody
from attendant.http.api.openai.responses_body import ResponsesBody
from attendant.http.api.openai.tokens import DetokenizeBody, TokenizeBody
from attendant.http.api.openinference.bodies import ChangeBody, GenerateBody, IndexBody, InferBody, SettingsBody
from attendant.http.api.rerank.bodies import ClassifyBody, CohereBody, RerankBody, ScoreBody
from attendant.http.api.tei.bodies import AnyRerankBody, EmbedAllBody, EmbedBody, PredictBody
from pydantic import BaseModel

BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/responses": ResponsesBody,
    "/v1/embeddings": EmbeddingsBody,
    "/v1/audio/transcriptions": TranscriptionBody,
    "/v1/audio/translations": TranslationBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": CountTokensBody,
    "/v1/rerank": RerankBody,
    "/v2/rerank": CohereBody,
    "/score": ScoreBody,
    "/v1/score": ScoreBody,
    "/classify": ClassifyBody,
    "/tokenize": TokenizeBody,
    "/detokenize": DetokenizeBody,
    "/embed": EmbedBody,
    "/embed_all": EmbedAllBody,
    "/embed_sparse": EmbedAllBody,
    "/predict": PredictBody,
    "/rerank": AnyRerankBody,
    "/v2/models/{model}/infer": InferBody,
    "/v2/models/{model}/generate": GenerateBody,
    "/v2/models/{model}/generate_stream": GenerateBody,
    "/v2/repository/index": IndexBody,
    "/v2/repository/models/{model}/load": ChangeBody,
    "/v2/repository/models/{model}/unload": ChangeBody,
    "/v2/logging": SettingsBody,
    "/v2/trace/setting": SettingsBody,
}
"""By path. What has a version in its path, too, reads the same."""

FORMS = frozenset({"/v1/audio/transcriptions", "/v1/audio/translations"})
"""Paths whose bodies are forms with a file in them."""

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Where is my order?"}], "max_tokens": 8}
TEXT_TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "demo", "prompt": "Where is my order?", "max_tokens": 8},
    "/v1/responses": {"model": "demo", "input": "Where is my order?", "max_output_tokens": 8},
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
    "/v2/models/{model}/generate": {"text_input": "hello", "max_tokens": 8},
    "/v2/models/{model}/generate_stream": {"text_input": "hello", "max_tokens": 8},
    "/v2/repository/index": {},
}
"""Bodies for a server with the demo models and a tiny encoder for each task. Without a model in it: the path names one,
or just one does it."""
