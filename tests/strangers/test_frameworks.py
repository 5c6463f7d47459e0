"""What applications are built with: LangChain, agents, LiteLLM, Instructor, LlamaIndex get what attendant.v1 gives.

What they ask for is not what anybody would write by hand: that is what they are here for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attendant_proto.v1 import encoding_pb2 as pb

from tests.clients.asked import QUESTION, answer_of
from tests.strangers.helpers import encoders
from tests.strangers.stranger import Stranger
from tests.system.server import HANGS_S, ServerProcess

TEXTS = ["hello", "a longer text that is not like it"]
ASKED: dict[str, Any] = {"model": "demo", "question": QUESTION, "max_tokens": 24}


def vectors_of(server: ServerProcess, *texts: str) -> list[list[float]]:
    """Vectors of attendant.v1, to the bit."""
    request = pb.EmbedRequest(model="vectors", inputs=[pb.TextInput(text=text) for text in texts])
    return [list(vector.values) for vector in encoders(server).Embed(request, timeout=HANGS_S).embeddings]


def in_single(vectors: list[list[float]]) -> list[list[float]]:
    """The same in float32, whatever number of digits they came with."""
    return [np.array(vector, np.float32).tolist() for vector in vectors]


def is_a_place(found: Any) -> bool:
    """Whether it has the shape that was asked for."""
    return set(found) == {"city", "number"} and found["city"] in ("Oslo", "Rome") and found["number"] in (1, 2, 3)


def test_langchain_chats(server: ServerProcess, frameworks: Stranger) -> None:
    expected = answer_of(server)
    found = frameworks.ask("langchain_chat", **ASKED)
    assert (found["whole"], found["streamed"], found["reason"]) == (expected.texts[0], expected.texts[0], "length")
    for usage in found["usage"]:
        assert (usage["input_tokens"], usage["output_tokens"]) == (expected.prompt_tokens, 24)
    assert found["pieces"] > 10
    questions = [f"Where is my order {number}?" for number in range(4)]
    texts = frameworks.ask("langchain_batch", model="demo", questions=questions, max_tokens=16)
    assert texts == [answer_of(server, question, max_tokens=16).texts[0] for question in questions]


def test_langchain_completes_and_embeds(server: ServerProcess, frameworks: Stranger) -> None:
    text = frameworks.ask("langchain_completion", model="demo", prompt=QUESTION, max_tokens=24)
    assert text == answer_of(server, raw=True).texts[0]
    found = frameworks.ask("langchain_embeddings", model="vectors", texts=TEXTS, tokens=False)
    assert in_single(found) == vectors_of(server, *TEXTS)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_makes_objects(frameworks: Stranger, method: str) -> None:
    found = frameworks.ask("langchain_shape", model="fast", question=QUESTION, method=method)
    assert is_a_place(found)


@pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat"])
def test_agents_answer(server: ServerProcess, frameworks: Stranger, responses: bool) -> None:
    expected, asked = answer_of(server, max_tokens=200).texts[0], {**ASKED, "max_tokens": 200}  # one that is cut fails
    assert frameworks.ask("agents_answer", **asked, responses=responses) == expected
    assert frameworks.ask("agents_streamed", **asked, responses=responses) == [expected, expected]


@pytest.mark.parametrize("anthropic", [True, False], ids=["anthropic", "openai"])
def test_pydantic_ai_answers(server: ServerProcess, frameworks: Stranger, anthropic: bool) -> None:
    assert frameworks.ask("pydantic_answer", **ASKED, anthropic=anthropic) == answer_of(server).texts[0]


def test_langchain_forces_a_tool(frameworks: Stranger) -> None:
    ((name, arguments, has_id),) = frameworks.ask("langchain_tool", model="fast", question=QUESTION)
    assert (name, has_id) == ("Place", True)
    assert is_a_place(arguments)


@pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat"])
def test_agents_call_a_tool_that_they_have_to(frameworks: Stranger, responses: bool) -> None:
    final, ((city, number),) = frameworks.ask("agents_tool", model="fast", question=QUESTION, responses=responses)
    assert final == "kept"
    assert is_a_place({"city": city, "number": number})


def test_pydantic_ai_makes_objects(frameworks: Stranger) -> None:
    assert is_a_place(frameworks.ask("pydantic_shape", model="fast", question=QUESTION))


def test_litellm_chats(server: ServerProcess, litellm: Stranger) -> None:
    expected = answer_of(server)
    text, counts = expected.texts[0], [expected.prompt_tokens, 24]
    assert litellm.ask("complete", **ASKED) == [text, "length", *counts]
    assert litellm.ask("stream", **ASKED) == [text, ["length"], *counts]
    assert litellm.ask("message", **ASKED) == [text, "length"]


def test_litellm_embeds_and_ranks(server: ServerProcess, litellm: Stranger) -> None:
    assert in_single(litellm.ask("embed", model="vectors", texts=TEXTS)) == vectors_of(server, *TEXTS)
    jina, cohere = litellm.ask("rerank", model="ranks", query="where is my order", documents=[*TEXTS, "an order"])
    assert jina == cohere
    assert len(jina) == 2
    assert jina[0][1] >= jina[1][1]


def test_litellm_knows_what_went_wrong(litellm: Stranger) -> None:
    kind, words = litellm.ask("wrong", model="nope")
    assert kind == "NotFoundError"
    assert "nope" in words
    kind, words = litellm.ask("wrong", model="demo", temperature=-1)
    assert kind == "BadRequestError"
    long = [{"role": "user", "content": "order " * 3000}]
    kind, words = litellm.ask("wrong", model="demo", messages=long)
    assert kind == "ContextWindowExceededError"


@pytest.mark.parametrize("mode", ["JSON_SCHEMA", "TOOLS"])
def test_instructor_makes_objects(litellm: Stranger, mode: str) -> None:
    assert is_a_place(litellm.ask("shape", model="fast", question=QUESTION, mode=mode))


def test_llama_index(server: ServerProcess, llama_index: Stranger) -> None:
    expected = answer_of(server).texts[0]
    assert llama_index.ask("chat", **ASKED) == [expected, expected]
    raw = answer_of(server, raw=True).texts[0]
    assert llama_index.ask("complete", model="demo", prompt=QUESTION, max_tokens=24) == [raw, raw]
    assert in_single(llama_index.ask("embed", model="vectors", texts=TEXTS)) == vectors_of(server, *TEXTS)
