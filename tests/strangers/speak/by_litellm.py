"""LiteLLM, which speaks for a hundred APIs, and Instructor, which makes objects of answers."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network for prices

import instructor
import litellm
import openai
from loop import answer
from pydantic import BaseModel

URL = f"http://{sys.argv[1]}"
V1: dict[str, Any] = {"api_base": f"{URL}/v1", "api_key": "none", "num_retries": 0}
litellm.telemetry = False
litellm.suppress_debug_info = True


class Place(BaseModel):
    """What answers of a shape are made into: no model has room to talk on in it."""

    city: Literal["Oslo", "Rome"]
    number: Literal[1, 2, 3]


def complete(model: str, question: str, max_tokens: int, **more: Any) -> Any:
    """A chat's answer, by LiteLLM's way to OpenAI's API: text, reason, usage."""
    messages = [{"role": "user", "content": question}]
    found = litellm.completion(f"openai/{model}", messages=messages, temperature=0, max_tokens=max_tokens, **V1, **more)
    choice = found.choices[0]
    return [choice.message.content, choice.finish_reason, found.usage.prompt_tokens, found.usage.completion_tokens]


def stream(model: str, question: str, max_tokens: int) -> Any:
    """The same, streamed: text, reason, usage."""
    messages = [{"role": "user", "content": question}]
    pieces = list(
        litellm.completion(
            f"openai/{model}",
            messages=messages,
            temperature=0,
            max_tokens=max_tokens,
            stream=True,
            stream_options={"include_usage": True},
            **V1,
        )
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    reasons = [piece.choices[0].finish_reason for piece in pieces if piece.choices and piece.choices[0].finish_reason]
    usage = [piece.usage for piece in pieces if getattr(piece, "usage", None)]
    return [text, reasons, usage[-1].prompt_tokens, usage[-1].completion_tokens]


def message(model: str, question: str, max_tokens: int) -> Any:
    """The same by its way to Anthropic's API."""
    messages = [{"role": "user", "content": question}]
    found = litellm.completion(
        f"anthropic/{model}", messages=messages, temperature=0, max_tokens=max_tokens, api_base=URL, api_key="none"
    )
    return [found.choices[0].message.content, found.choices[0].finish_reason]


def embed(model: str, texts: list[str]) -> Any:
    """Vectors."""
    found = litellm.embedding(f"openai/{model}", input=texts, encoding_format="float", **V1)
    return [each["embedding"] for each in found.data]


def rerank(model: str, query: str, documents: list[str]) -> Any:
    """Places and scores, by its way to vLLM's API (Jina's) and to Cohere's."""
    found = []
    for way, base in (("hosted_vllm", f"{URL}/v1"), ("cohere", f"{URL}/v2/rerank")):
        said = litellm.rerank(f"{way}/{model}", query, documents, top_n=2, api_base=base, api_key="none")
        found.append([[each["index"], each["relevance_score"]] for each in said.results])
    return found


def wrong(model: str, **fields: Any) -> Any:
    """What kind of error LiteLLM makes of a refusal, and its words."""
    try:
        litellm.completion(f"openai/{model}", **{"messages": [{"role": "user", "content": "a"}], **fields}, **V1)
    except Exception as error:  # noqa: BLE001 its kind is what is asked
        return [type(error).__name__, str(error)]
    return None


def shape(model: str, question: str, mode: str) -> Any:
    """An object, made of an answer by Instructor."""
    client = instructor.from_openai(
        openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0), mode=instructor.Mode[mode]
    )
    messages: Any = [{"role": "user", "content": question}]
    found = client.chat.completions.create(
        model=model, messages=messages, response_model=Place, temperature=0, max_tokens=1000, max_retries=0
    )
    return found.model_dump()


if __name__ == "__main__":
    answer({action.__name__: action for action in (complete, stream, message, embed, rerank, wrong, shape)})
