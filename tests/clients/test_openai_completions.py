"""OpenAI's client, continuing texts, and looking which models there are."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from attendant_proto.v1 import models_pb2

from tests.clients.asked import QUESTION, answer_of
from tests.system.server import ServerProcess

GREEDY: Any = {"model": "demo", "prompt": QUESTION, "temperature": 0, "max_tokens": 24}


def test_a_completion_is_attendant_v1s(server: ServerProcess, client: openai.OpenAI) -> None:
    expected = answer_of(server, raw=True, logprobs=1)
    found = client.completions.create(**GREEDY, logprobs=1)
    (choice,) = found.choices
    assert choice.text == expected.texts[0]
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == expected.tokens
    assert choice.logprobs.token_logprobs == pytest.approx(expected.logprobs, abs=1e-6)
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (expected.prompt_tokens, 24)
    with client.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True}) as stream:
        *chunks, last = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected.texts[0]
    assert (last.choices, last.usage) == ([], found.usage)


def test_several_prompts_and_tokens(server: ServerProcess, client: openai.OpenAI) -> None:
    prompts = [QUESTION, "How do I change my password?"]
    expected = [answer_of(server, prompt, raw=True).texts[0] for prompt in prompts]
    found = client.completions.create(**GREEDY | {"prompt": prompts})
    assert [choice.text for choice in found.choices] == expected
    assert [choice.index for choice in found.choices] == [0, 1]
    asked = models_pb2.TokenizeRequest(model="demo", text=QUESTION)
    ids = list(server.tokenizer.Tokenize(asked).token_ids)
    (choice,) = client.completions.create(**GREEDY | {"prompt": ids}).choices
    assert choice.text == expected[0]


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"demo", "slow", "vectors"} <= set(names)
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


def test_prompts_are_cut_on_the_side_that_is_asked_for(server: ServerProcess, client: openai.OpenAI) -> None:
    asked = models_pb2.TokenizeRequest(model="demo", text=QUESTION, no_special_tokens=True)
    ids = list(server.tokenizer.Tokenize(asked).token_ids)
    assert len(ids) > 5
    for side, kept in (("left", ids[-5:]), ("right", ids[:5])):
        said: Any = {"truncate_prompt_tokens": 5, "truncation_side": side, "add_special_tokens": False}
        (cut,) = client.completions.create(**GREEDY, extra_body=said).choices
        (whole,) = client.completions.create(**GREEDY | {"prompt": kept}).choices
        assert cut.text == whole.text
