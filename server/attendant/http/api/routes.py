"""Gathers the routes of every API, and says which paths are whose, so that a caller hears errors in words it knows."""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from attendant.frontend.front_end import FrontEnd
from attendant.http.api.anthropic.errors import ANTHROPIC
from attendant.http.api.anthropic.routes import anthropic_routes
from attendant.http.api.dialect import Dialect
from attendant.http.api.openai.audio import audio_routes
from attendant.http.api.openai.chat import chat_routes
from attendant.http.api.openai.completions import completion_routes
from attendant.http.api.openai.embeddings import embedding_routes
from attendant.http.api.openai.errors import OPENAI
from attendant.http.api.openai.models import model_routes
from attendant.http.api.openai.responses import response_routes
from attendant.http.api.openai.tokens import token_routes
from attendant.http.api.openinference.dialect import OPEN_INFERENCE
from attendant.http.api.rerank.errors import COHERE
from attendant.http.api.rerank.routes import rerank_routes
from attendant.http.api.tei.errors import TEI
from attendant.http.api.tei.routes import tei_routes

Models = Callable[[], FrontEnd]

DIALECTS: tuple[tuple[str, Dialect], ...] = (
    ("/v1/messages", ANTHROPIC),
    ("/v2/rerank", COHERE),
    ("/v1", OPENAI),
    ("/tokenize", OPENAI),
    ("/detokenize", OPENAI),
    ("/rerank", TEI),
    ("/embed", TEI),
    ("/embed_all", TEI),
    ("/embed_sparse", TEI),
    ("/predict", TEI),
    ("/score", OPENAI),
    ("/classify", OPENAI),
    ("/v2", OPEN_INFERENCE),  # after what other APIs have below it
)
"""Beginnings of paths, and the dialect of what is below them: the first that fits counts."""


def api_routes(models: Models) -> list[Route]:
    """The routes.

    Args:
        models: the front end, asked at each request; raises Unavailable as long as models are being loaded.
    """
    return [
        *model_routes(models),
        *anthropic_routes(models),
        *chat_routes(models),
        *completion_routes(models),
        *response_routes(models),
        *token_routes(models),
        *embedding_routes(models),
        *rerank_routes(models),
        *audio_routes(models),
        *tei_routes(models),
    ]


def dialect_of(path: str) -> Dialect | None:
    """The dialect of whoever asks for ``path``, be there something or not; None where no API is."""
    return next((dialect for top, dialect in DIALECTS if path == top or path.startswith(f"{top}/")), None)
