"""Calls of the HTTP APIs of OpenAI, vLLM, Anthropic, Cohere and Jina."""

from __future__ import annotations

from typing import Any

from attendant_loadtest.calls.route import Body, Route
from attendant_loadtest.calls.subject import GENERATES, READS, Subject
from attendant_loadtest.calls.user import CallingUser

CHATS = "continue+chat"


def _messages(ask: Subject) -> list[dict[str, str]]:
    return [{"role": "user", "content": ask.text()}]


def _chat(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "messages": _messages(ask), "max_tokens": ask.max_tokens}


def _complete(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "prompt": ask.text(), "max_tokens": ask.max_tokens}


def _respond(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "input": ask.text(), "max_output_tokens": ask.max_tokens, "store": False}


def _in_both_ways(path: str, body: Body, needs: str) -> tuple[Route, Route]:
    return Route(path, body, needs), Route(path, lambda ask: {**body(ask), "stream": True}, needs, streams=True)


def _sound(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "file": ("talk.wav", ask.wav(), "audio/wav")}


class OpenAiUser(CallingUser):
    """As OpenAI's clients call, and vLLM's."""

    calls = (
        *_in_both_ways("/v1/chat/completions", _chat, CHATS),
        *_in_both_ways("/v1/completions", _complete, GENERATES),
        *_in_both_ways("/v1/responses", _respond, CHATS),
        Route(
            "/v1/embeddings",
            lambda ask: {"model": ask.model, "input": ask.texts(), "truncate": True},
            "embed",
        ),
        Route("/v1/audio/transcriptions", _sound, "speech", form=True),
        Route("/v1/audio/translations", _sound, "speech", form=True),
        Route("/v1/models"),
        Route("/v1/models/{model}", needs=READS),
        Route("/tokenize", lambda ask: {"model": ask.model, "prompt": ask.text()}, READS),
        Route("/detokenize", lambda ask: {"model": ask.model, "tokens": ask.ids()}, READS),
    )


class AnthropicUser(CallingUser):
    """As Anthropic's clients call."""

    calls = (
        *_in_both_ways("/v1/messages", _chat, CHATS),
        Route(
            "/v1/messages/count_tokens",
            lambda ask: {"model": ask.model, "messages": _messages(ask)},
            CHATS,
        ),
    )


def _rank(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "query": ask.text(), "documents": ask.texts()}


def _score(ask: Subject) -> dict[str, Any]:
    return {"model": ask.model, "text_1": ask.text(), "text_2": ask.texts(), "truncate": True}


class RankingUser(CallingUser):
    """As Cohere's, Jina's and vLLM's clients call."""

    calls = (
        Route("/v1/rerank", _rank, "rerank"),
        Route("/v2/rerank", _rank, "rerank"),
        Route("/score", _score, "rerank"),
        Route("/v1/score", _score, "rerank"),
        Route(
            "/classify",
            lambda ask: {"model": ask.model, "input": ask.texts(), "truncate": True},
            "classify",
        ),
    )
