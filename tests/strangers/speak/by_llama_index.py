"""LlamaIndex, with its classes for servers that are like OpenAI's."""

from __future__ import annotations

import sys
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike
from loop import answer

V1 = f"http://{sys.argv[1]}/v1"


def _model(model: str, max_tokens: int, *, chat: bool) -> OpenAILike:
    return OpenAILike(
        model=model,
        api_base=V1,
        api_key="none",
        is_chat_model=chat,
        temperature=0,
        max_tokens=max_tokens,
        max_retries=0,
        context_window=512,
    )


def chat(model: str, question: str, max_tokens: int) -> Any:
    """An answer, and the same streamed."""
    made = _model(model, max_tokens, chat=True)
    messages = [ChatMessage(role="user", content=question)]
    return [made.chat(messages).message.content, "".join(piece.delta or "" for piece in made.stream_chat(messages))]


def complete(model: str, prompt: str, max_tokens: int) -> Any:
    """A text that goes on, and the same streamed."""
    made = _model(model, max_tokens, chat=False)
    return [made.complete(prompt).text, "".join(piece.delta or "" for piece in made.stream_complete(prompt))]


def embed(model: str, texts: list[str]) -> Any:
    """Vectors."""
    return OpenAIEmbedding(model_name=model, api_base=V1, api_key="none", max_retries=0).get_text_embedding_batch(texts)


if __name__ == "__main__":
    answer({action.__name__: action for action in (chat, complete, embed)})
