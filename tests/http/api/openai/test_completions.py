"""Completions over a socket, as OpenAI's own client speaks them, and by the raw body."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from attendant.core.generation import Delta, Finish, GenerationCall, TextPrompt, TokenPrompt

from tests.http.api.openai.conftest import client_of, two_models
from tests.http.api.served import ApiSite
from tests.http.page.served import eventually
from tests.synthetic import SPECIAL

CALL = GenerationCall("model", TextPrompt("hello"), max_tokens=12, temperature=0.0)
PATH = "/v1/completions"
GREEDY: dict[str, Any] = {"model": "model", "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    site = two_models(tmp_path_factory, max_num_seqs=4, max_queue=4)
    yield site
    site.close()


@pytest.fixture(scope="module")
def client(site: ApiSite) -> Iterator[Any]:
    with client_of(site) as client:
        yield client


def answer(site: ApiSite, **changes: Any) -> tuple[list[Delta], Finish]:
    """What the front end itself gives for one sequence."""
    *deltas, finish = site.generated(replace(CALL, **changes))
    assert isinstance(finish, Finish)
    return [delta for delta in deltas if isinstance(delta, Delta)], finish


def text(site: ApiSite, **changes: Any) -> str:
    return "".join(delta.text for delta in answer(site, **changes)[0])


def ids(site: ApiSite, **changes: Any) -> list[int]:
    return [token for delta in answer(site, **changes)[0] for token in delta.token_ids]


def events(site: ApiSite, **body: Any) -> list[Any]:
    """The objects of a stream, which ends as it has to."""
    status, headers, content = site.send(PATH, {**GREEDY, "stream": True, **body})
    assert (status, headers["content-type"]) == (200, "text/event-stream"), content
    *lines, done, empty = content.decode().split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_an_answer_is_the_front_ends(site: ApiSite, client: Any) -> None:
    deltas, finish = answer(site)
    found = client.completions.create(model="model", prompt="hello", max_tokens=12, temperature=0)
    (choice,) = found.choices
    assert (found.object, found.model) == ("text_completion", "model")
    assert found.id.startswith("cmpl-")
    assert choice.text == "".join(delta.text for delta in deltas)
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, finish.reason.value, None)
    usage = (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.total_tokens)
    assert usage == (5, finish.usage.completion_tokens, 5 + finish.usage.completion_tokens)


def test_a_streamed_answer_is_the_same(site: ApiSite, client: Any) -> None:
    with client.completions.create(
        model="model",
        prompt="hello",
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        *chunks, last = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == text(site)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == answer(site)[1].reason.value
    assert {chunk.id for chunk in chunks} == {last.id}
    assert (last.choices, last.usage.completion_tokens) == ([], answer(site)[1].usage.completion_tokens)


def test_usage_comes_when_it_is_asked_for(site: ApiSite) -> None:
    assert all("usage" not in chunk for chunk in events(site, prompt="hello"))
    *chunks, last = events(site, prompt="hello", stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["usage"]["total_tokens"] == 5 + last["usage"]["completion_tokens"]
    options = {"include_usage": True, "continuous_usage_stats": True}
    counts = [chunk["usage"]["completion_tokens"] for chunk in events(site, prompt="hello", stream_options=options)]
    assert counts == sorted(counts)
    assert counts[-1] == last["usage"]["completion_tokens"]


def test_a_prompt_may_be_token_ids(site: ApiSite) -> None:
    tokens = tokens_of(site, "hello")
    for prompt in (tokens, [tokens], ["hello"]):
        status, found = site.post(PATH, {**GREEDY, "prompt": prompt})
        assert (status, found["choices"][0]["text"]) == (200, text(site))


def tokens_of(site: ApiSite, prompt: str) -> list[int]:
    return list(site.loop.run(site.front_end.tokenizer.tokenize("model", TextPrompt(prompt))).token_ids)


@pytest.mark.parametrize("stream", [False, True])
def test_each_prompt_has_its_choices(site: ApiSite, stream: bool) -> None:
    prompts, n = ["hello", "good day to you", "x", "what?", "and so on", "more", "yet more"], 2
    body: dict[str, Any] = {"prompt": prompts, "n": n, "temperature": 0.9, "seed": 7}
    wanted = []
    for prompt in prompts:
        parts = site.generated(replace(CALL, prompt=TextPrompt(prompt), n=n, temperature=0.9, seed=7))
        wanted += ["".join(p.text for p in parts if isinstance(p, Delta) and p.index == index) for index in range(n)]
    if stream:
        found = [""] * len(wanted)
        for chunk in events(site, **body):
            found[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
        ends = [c["choices"][0]["index"] for c in events(site, **body) if c["choices"][0]["finish_reason"] is not None]
        assert sorted(ends) == list(range(len(wanted)))
    else:
        status, told = site.post(PATH, {**GREEDY, **body})
        assert status == 200, told
        assert [choice["index"] for choice in told["choices"]] == list(range(len(wanted)))
        found = [choice["text"] for choice in told["choices"]]
        assert told["usage"]["prompt_tokens"] == sum(map(len, prompts))
    assert found == wanted


def test_an_answer_begins_with_the_prompt_if_asked(site: ApiSite) -> None:
    whole = site.post(PATH, {**GREEDY, "prompt": "hello", "echo": True})[1]
    assert whole["choices"][0]["text"] == "hello" + text(site)
    by_ids = site.post(PATH, {**GREEDY, "prompt": tokens_of(site, "hello"), "echo": True})[1]
    assert by_ids["choices"][0]["text"] == "hello" + text(site)
    special = f"hello{SPECIAL[-1]}"  # a text of its tokens is without it
    with_ids = site.post(PATH, {**GREEDY, "prompt": special, "echo": True, "return_token_ids": True})[1]["choices"][0]
    assert with_ids["text"].startswith(special)
    assert with_ids["prompt_token_ids"] == tokens_of(site, special)
    streamed = events(site, prompt=["hello", "hello"], echo=True)
    for index in (0, 1):
        texts = [c["choices"][0]["text"] for c in streamed if c["choices"][0]["index"] == index]
        assert "".join(texts) == "hello" + text(site)


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_are_the_models(site: ApiSite, stream: bool) -> None:
    deltas, _ = answer(site, logprobs=2)
    entries = [entry for delta in deltas for entry in delta.logprobs]
    spelled = "".join(delta.text for delta in deltas)
    found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    if stream:
        for chunk in events(site, prompt="hello", logprobs=2):
            for name, values in chunk["choices"][0]["logprobs"].items():
                found[name] += values
    else:
        found = site.post(PATH, {**GREEDY, "prompt": "hello", "logprobs": 2})[1]["choices"][0]["logprobs"]
    count = len(found["tokens"])
    assert count in (len(entries), len(entries) - 1)  # the token that ends the answer is none of its text
    assert found["token_logprobs"] == [pytest.approx(entry.logprob) for entry in entries[:count]]
    assert all(2 <= len(top) <= 3 for top in found["top_logprobs"])
    assert b"".join(map(as_bytes, found["tokens"])).decode(errors="replace") == spelled
    assert found["text_offset"] == sorted(found["text_offset"])
    assert all(0 <= offset < max(1, len(spelled)) for offset in found["text_offset"])


def as_bytes(token: str) -> bytes:
    if token.startswith("bytes:"):
        return bytes(int(pair, 16) for pair in token.removeprefix("bytes:").split("\\x")[1:])
    return token.encode()


def test_the_best_of_several_is_the_most_probable(site: ApiSite) -> None:
    sampled = {"prompt": "hello", "temperature": 1.5, "seed": 11}
    parts = site.generated(replace(CALL, n=5, temperature=1.5, seed=11, logprobs=0))
    means: dict[int, list[float]] = {}
    texts: dict[int, str] = {}
    for part in parts:
        if isinstance(part, Delta):
            means.setdefault(part.index, []).extend(entry.logprob for entry in part.logprobs)
            texts[part.index] = texts.get(part.index, "") + part.text
    order = sorted(means, key=lambda index: -math.fsum(means[index]) / len(means[index]))
    status, found = site.post(PATH, {**GREEDY, **sampled, "best_of": 5, "n": 2})
    assert status == 200, found
    assert [choice["text"] for choice in found["choices"]] == [texts[index] for index in order[:2]]
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    assert found["usage"]["completion_tokens"] == sum(map(len, means.values()))
    assert found["choices"][0]["logprobs"] is None


def test_a_stop_string_ends_an_answer_and_is_told(site: ApiSite) -> None:
    whole = text(site)
    stop = whole[3:5]
    begin = whole[: whole.index(stop)]
    choice = site.post(PATH, {**GREEDY, "prompt": "hello", "stop": stop})[1]["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (begin, "stop", stop)
    shown = site.post(PATH, {**GREEDY, "prompt": "hello", "stop": [stop], "include_stop_str_in_output": True})[1]
    assert shown["choices"][0]["text"] == begin + stop


def test_token_ids_are_told_if_asked(site: ApiSite) -> None:
    choice = site.post(PATH, {**GREEDY, "prompt": "hello", "return_token_ids": True})[1]["choices"][0]
    assert choice["prompt_token_ids"] == tokens_of(site, "hello")
    assert choice["token_ids"] == ids(site)
    chunks = events(site, prompt="hello", return_token_ids=True)
    assert [token for chunk in chunks for token in chunk["choices"][0]["token_ids"]] == ids(site)
    assert chunks[0]["choices"][0]["prompt_token_ids"] == tokens_of(site, "hello")


def test_a_bias_has_its_token_as_a_key(site: ApiSite) -> None:
    wanted = text(site, logit_bias={70: 100.0})
    choice = site.post(PATH, {**GREEDY, "prompt": "hello", "logit_bias": {"70": 100}})[1]["choices"][0]
    assert choice["text"] == wanted


def test_a_prompt_is_cut_if_asked(site: ApiSite) -> None:
    last = tokens_of(site, "hello")[-2:]
    wanted = text(site, prompt=TokenPrompt(tuple(last)))
    found = site.post(PATH, {**GREEDY, "prompt": "hello", "truncate_prompt_tokens": 2})[1]
    assert (found["choices"][0]["text"], found["usage"]["prompt_tokens"]) == (wanted, 2)
    status, told = site.post(PATH, {**GREEDY, "prompt": "hello", "truncate_prompt_tokens": 0})
    assert (status, told["error"]["param"]) == (400, "truncate_prompt_tokens")


def test_the_maximum_of_tokens_is_one(site: ApiSite) -> None:
    """It defaults to what the API says, and is cut to the room that is left."""
    found = site.post(PATH, {"model": "endless", "prompt": "hello", "temperature": 0})[1]
    assert found["usage"]["completion_tokens"] == 16
    room = site.front_end.served_model("model").generation
    assert room is not None
    body = {**GREEDY, "prompt": "hello", "max_tokens": 10**12, "ignore_eos": True}
    status, found = site.post(PATH, body)
    assert (status, found["choices"][0]["finish_reason"]) == (200, "length")
    assert found["usage"]["total_tokens"] == room.context_length


def test_a_prompt_that_is_too_long_has_its_code(client: Any) -> None:
    for prompt in ("x" * 40_000, [70] * 40_000, ["a", "x" * 2_000_000]):
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model="endless", prompt=prompt)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [10**30]}, "prompt"),
        ({"prompt": [70, 10**400]}, "prompt"),
        ({"prompt": [-(10**30)]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [9999]}, "prompt"),
        ({"prompt": ["a"] * 2049}, "prompt"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "best_of": 1, "n": 2}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "a", "best_of": 1000}, "best_of"),
        ({"prompt": "a", "n": 0}, "n"),
        ({"prompt": ["a", "b"], "n": 0}, "n"),
        ({"prompt": "a", "n": "2"}, "n"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "a", "logprobs": 1000}, "logprobs"),
        ({"prompt": "a", "logprobs": 1, "echo": True}, "echo"),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options"),
        ({"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias"),
        ({"prompt": "a", "prompt_embeds": "aaaa"}, "prompt_embeds"),
        ({"prompt": "a", "prompt_logprobs": 1}, "prompt_logprobs"),
        ({"prompt": "a", "temperature": 3e38}, "temperature"),
        ({"prompt": "a", "messages": []}, "messages"),
    ],
)
def test_what_cannot_be_is_refused_by_name(site: ApiSite, body: dict[str, Any], field: str) -> None:
    status, told = site.post(PATH, {"model": "model", **body})
    assert status == 400, told
    assert str(told["error"]["param"]).partition("[")[0].partition(".")[0] == field, told


def test_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="nobody", prompt=["a", "b"])
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("body", [{"prompt": "a"}, {"prompt": ["a", "b", "c", "d", "e", "f"]}, {"prompt": "a", "n": 3}])
@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_frees_the_places(site: ApiSite, body: dict[str, Any], stream: bool) -> None:
    host, _, port = site.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port))
    said = json.dumps({"model": "endless", "max_tokens": 30_000, "stream": stream, **body})
    connection.request("POST", PATH, said, {"content-type": "application/json"})
    eventually(lambda: running(site) > 0)
    connection.close()
    eventually(lambda: running(site) == 0)
    assert site.post(PATH, {**GREEDY, "prompt": "hello"})[0] == 200


def running(site: ApiSite) -> float:
    gauges = [line.rpartition(" ") for line in site.get("/metrics")[2].decode().splitlines()]
    names = ("attendant_num_requests_running{", "attendant_num_requests_waiting{")
    return sum(float(value) for name, _, value in gauges if name.startswith(names))


def test_more_prompts_than_there_are_places_wait_for_each_other(site: ApiSite) -> None:
    status, found = site.post(PATH, {**GREEDY, "prompt": [f"number {i}" for i in range(40)]})
    assert (status, len(found["choices"])) == (200, 40)
