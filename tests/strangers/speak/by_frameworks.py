"""What applications are built with: LangChain, OpenAI's agents and Pydantic AI, each with its own way to call."""

from __future__ import annotations

import sys
from typing import Any, Literal

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from agents import set_tracing_disabled as disable_tracing
from anthropic import AsyncAnthropic
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from loop import answer
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

URL = f"http://{sys.argv[1]}"
V1: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0}
disable_tracing(True)


class Place(BaseModel):
    """What answers of a shape are made into: no model has room to talk on in it."""

    city: Literal["Oslo", "Rome"]
    number: Literal[1, 2, 3]


def langchain_chat(model: str, question: str, max_tokens: int) -> Any:
    """An answer, the same streamed, and what it says of its usage."""
    chat = ChatOpenAI(model=model, temperature=0, max_tokens=max_tokens, stream_usage=True, **V1)
    whole = chat.invoke(question)
    pieces = list(chat.stream(question))
    total = pieces[0]
    for piece in pieces[1:]:
        total += piece
    return {
        "whole": whole.content,
        "streamed": total.content,
        "reason": whole.response_metadata["finish_reason"],
        "usage": [whole.usage_metadata, total.usage_metadata],
        "pieces": len(pieces),
    }


async def langchain_batch(model: str, questions: list[str], max_tokens: int) -> Any:
    """Answers to several at once."""
    chat = ChatOpenAI(model=model, temperature=0, max_tokens=max_tokens, **V1)
    return [found.content for found in await chat.abatch(questions)]


def langchain_completion(model: str, prompt: str, max_tokens: int) -> str:
    """The older API."""
    return OpenAI(model=model, temperature=0, max_tokens=max_tokens, **V1).invoke(prompt)


def langchain_embeddings(model: str, texts: list[str], *, tokens: bool) -> Any:
    """Vectors; ``tokens``: the client cuts texts into tokens by itself, and sends those of OpenAI's models."""
    found = OpenAIEmbeddings(model=model, check_embedding_ctx_length=tokens, **V1)
    return found.embed_documents(texts)


def langchain_shape(model: str, question: str, method: str) -> Any:
    """An object, made of an answer that has its shape."""
    chat = ChatOpenAI(model=model, temperature=0, max_tokens=1000, **V1)
    return chat.with_structured_output(Place, method=method).invoke(question).model_dump()


def langchain_tool(model: str, question: str) -> Any:
    """The calls of a tool that has to be called."""
    chat = ChatOpenAI(model=model, temperature=0, max_tokens=1000, **V1).bind_tools([Place], tool_choice="Place")
    found = chat.invoke(question)
    return [[call["name"], call["args"], bool(call["id"])] for call in found.tool_calls]


async def agents_answer(model: str, question: str, max_tokens: int, *, responses: bool) -> str:
    """An agent's last word, over one API or the other."""
    client = AsyncOpenAI(**V1)
    kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
    settings = ModelSettings(temperature=0, max_tokens=max_tokens)
    agent = Agent(name="a", model=kind(model=model, openai_client=client), model_settings=settings)
    return (await Runner.run(agent, question)).final_output


async def agents_streamed(model: str, question: str, max_tokens: int, *, responses: bool) -> Any:
    """The same, streamed: its pieces of text joined, and its last word."""
    client = AsyncOpenAI(**V1)
    kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
    settings = ModelSettings(temperature=0, max_tokens=max_tokens)
    agent = Agent(name="a", model=kind(model=model, openai_client=client), model_settings=settings)
    run, text = Runner.run_streamed(agent, question), ""
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    return [text, run.final_output]


async def agents_tool(model: str, question: str, *, responses: bool) -> Any:
    """Arguments that a tool was called with, which it has to be, once."""
    heard: list[Any] = []

    @function_tool
    def keep(city: Literal["Oslo", "Rome"], number: Literal[1, 2, 3]) -> str:
        heard.append([city, number])
        return "kept"

    client = AsyncOpenAI(**V1)
    kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
    settings = ModelSettings(temperature=0, max_tokens=1000, tool_choice="keep")
    made = Agent(
        name="a",
        model=kind(model=model, openai_client=client),
        model_settings=settings,
        tools=[keep],
        tool_use_behavior="stop_on_first_tool",
    )
    return [(await Runner.run(made, question)).final_output, heard]


async def pydantic_answer(model: str, question: str, max_tokens: int, *, anthropic: bool) -> str:
    """Pydantic AI's answer, over one API or the other."""
    agent = PydanticAgent(_pydantic_model(model, anthropic=anthropic))
    return (await agent.run(question, model_settings={"temperature": 0, "max_tokens": max_tokens})).output


async def pydantic_shape(model: str, question: str) -> Any:
    """An object, which its agent has the model give by calling a tool."""
    agent = PydanticAgent(_pydantic_model(model, anthropic=False), output_type=Place)
    found = await agent.run(question, model_settings={"temperature": 0, "max_tokens": 1000})
    return found.output.model_dump()


def _pydantic_model(model: str, *, anthropic: bool) -> Any:
    if anthropic:
        client = AsyncAnthropic(base_url=URL, api_key="none", max_retries=0)
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client))
    return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=AsyncOpenAI(**V1)))


if __name__ == "__main__":
    actions = (
        *(langchain_chat, langchain_batch, langchain_completion, langchain_embeddings, langchain_shape, langchain_tool),
        *(agents_answer, agents_streamed, agents_tool, pydantic_answer, pydantic_shape),
    )
    answer({action.__name__: action for action in actions})
