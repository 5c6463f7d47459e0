"""The boxes of the page, on real models over a socket: answers equal those of the services, errors name the field."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from attendant.core.generation import Delta, GenerationCall, TextPrompt, TokenPrompt
from attendant.demo import demo_bundles
from attendant.frontend.explain.calls import AttentionCall, GivenAnswer, Subject
from attendant.http.api.bodies import MOST_BYTES
from PIL import Image, ImageDraw

from tests.http.page.served import PageSite, eventually
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_audio_encoder, make_text_encoder

TASKS = ("rerank", "classify_tokens", "answer", "embed", "fill_mask")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageSite]:
    folder = tmp_path_factory.mktemp("bundles")
    encoders = [make_text_encoder(folder / task, task, name=task) for task in TASKS]
    endless = make_synthetic_bundle(folder / "endless", name="endless", eos_bias=-50, context_length=4096)
    site = PageSite(*demo_bundles(), *encoders, make_audio_encoder(folder / "hears", name="hears"), endless)
    yield site
    site.close()


def answer_of(site: PageSite, call: GenerationCall) -> tuple[str, list[int]]:
    async def collect() -> tuple[str, list[int]]:
        text, ids = "", list[int]()
        assert site.front_end is not None
        async for part in site.front_end.generation.generate(call):
            if isinstance(part, Delta):
                text += part.text
                ids += part.token_ids
        return text, ids

    return site.loop.run(collect())


def test_an_answer_streams_and_is_the_services(site: PageSite) -> None:
    lines = site.lines("generate", model="demo", text="Where is my order?", max_tokens=24)
    prompt, parts, end = lines[0]["prompt"], lines[1:-1], lines[-1]
    text, ids = answer_of(site, GenerationCall("demo", TextPrompt("Where is my order?"), max_tokens=24))
    assert "".join(token["text"] for token in prompt) == "Where is my order?"
    assert "".join(part["text"] for part in parts) == text
    tokens = [token for part in parts for token in part["tokens"]]
    assert [token["id"] for token in tokens] == ids
    assert all(token["top"][0][1] == pytest.approx(token["logprob"]) for token in tokens)  # greedy
    assert math.exp(tokens[0]["logprob"]) <= 1
    assert [step["name"] for step in end["steps"]] == ["tokenise", "queue", "prefill", "decode", "detokenise"]
    assert all(step["s"] >= 0 for step in end["steps"])
    assert (end["completion_tokens"], end["finish"]) == (24, "length")


def test_a_chat_has_the_models_own_form(site: PageSite) -> None:
    lines = site.lines("generate", model="demo", chat=[{"role": "user", "content": "Where is my order?"}])
    assert lines[0]["prompt"][0]["text"] == "<|user|>"
    assert lines[-1]["finish"] == "stop"


def test_a_translation_streams(site: PageSite) -> None:
    lines = site.lines("translate", model="translator", text="The blue car is behind the house.")
    text, _ = answer_of(site, GenerationCall("translator", TextPrompt("The blue car is behind the house.")))
    assert "".join(line["text"] for line in lines[:-1]) == text
    assert lines[-1]["steps"][0]["name"] == "tokenise, queue"


def test_a_text_is_labelled(site: PageSite) -> None:
    told = site.call("classify", model="sentiment", text="a lovely film, I laughed a lot")
    assert told["labels"][0]["label"] == "positive"
    assert sum(label["score"] for label in told["labels"]) == pytest.approx(1, abs=1e-5)
    assert [step["name"] for step in told["steps"]] == ["prepare", "queue", "run", "read out"]


def png_of_a_square() -> str:
    image = Image.new("RGB", (48, 48), "white")
    ImageDraw.Draw(image).rectangle((12, 12, 36, 36), fill="navy")
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_an_image_is_labelled(site: PageSite) -> None:
    told = site.call("classify_image", model="shapes", image=png_of_a_square())
    assert told["labels"][0]["label"] == "square"


def test_a_recording_is_transcribed(site: PageSite) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full(32, 0.25, np.float32), 16_000, format="WAV", subtype="FLOAT")
    told = site.call("transcribe", model="hears", audio=base64.b64encode(file.getvalue()).decode())
    assert told["text"] == "b"  # the greatest logit of a frame whose sum is above 0 is the last letter's
    assert told["steps"][0]["name"] == "decode the sound"


def test_texts_are_compared(site: PageSite) -> None:
    told = site.call("embed", model="embed", texts=["ab", "ab", "xyz"])
    cosines = np.array(told["cosines"])
    assert cosines.shape == (3, 3)
    assert cosines[0, 1] == pytest.approx(1)
    assert (cosines == cosines.T).all()
    assert told["dimensions"] == 4


def test_other_tasks_answer(site: PageSite) -> None:
    assert len(site.call("rerank", model="rerank", query="a", documents=["b", "c"])["ranked"]) == 2
    spans = site.call("classify_tokens", model="classify_tokens", text="abc")["spans"]
    assert all("abc"[span["start"] : span["end"]] == span["text"] for span in spans)
    assert site.call("answer", model="answer", question="a", context="bcd")["answers"]
    assert "mask" in site.call("fill_mask", model="fill_mask", text="abc")["error"]


@pytest.mark.parametrize(
    ("name", "body", "status", "field", "words"),
    [
        ("generate", {"model": "demo", "text": "a", "temperature": -2}, 400, "temperature", "allowed: 0 to 100"),
        ("generate", {"model": "demo", "text": "a", "max_tokens": 0}, 400, "max_tokens", "allowed: at least 1"),
        ("generate", {"model": "demo"}, 400, "text", "allowed is one of them"),
        ("generate", {"model": "demo", "text": "a", "n": 2}, 400, "n", "is not known; allowed: model, text"),
        ("generate", {"text": "a"}, 400, "model", "is missing"),
        ("generate", {"model": "demo", "text": 7}, 400, "text", "valid string"),
        ("generate", {"model": "nobody", "text": "a"}, 404, None, "no model named 'nobody'"),
        ("generate", {"model": "sentiment", "text": "a"}, 400, "model", "is for task classify"),
        ("classify_image", {"model": "shapes", "image": "!"}, 400, "image", "is not base64"),
        ("classify_image", {"model": "shapes", "image": "aGFsbG8="}, 400, "images[0]", ""),
        ("attention", {"model": "demo", "text": "a", "chat": [], "token_ids": [1]}, 400, "text", "2 are given"),
        ("attention", {"model": "endless", "text": "a"}, 400, "model", "gives no attention"),
        ("attention", {"model": "demo", "text": "a", "kind": "all"}, 400, "kind", "'self', 'encoder' or 'cross'"),
        ("similarity", {"model": "sentiment", "contexts": []}, 400, "contexts", "allowed: 2 to 64"),
        ("embed", {"model": "embed", "texts": ["a"] * 33}, 400, "texts", "at most 32"),
    ],
)
def test_what_is_wrong_is_told(
    site: PageSite, name: str, body: object, status: int, field: str | None, words: str
) -> None:
    told, headers, answer = site.send(f"/page/{name}", body)
    error = json.loads(answer)
    assert (told, error.get("field")) == (status, field), error
    assert words in error["error"]
    assert headers["cache-control"] == "no-store"


def test_a_body_that_is_none_is_told(site: PageSite) -> None:
    status, _, answer = site.send("/page/classify", b"{")
    assert (status, json.loads(answer)["field"]) == (400, "body")


def test_a_body_is_limited(site: PageSite) -> None:
    status, _, answer = site.send("/page/classify", b"", content_length=str(2 * MOST_BYTES))
    told = json.loads(answer)
    assert (status, told["field"]) == (413, "body")
    assert told["error"] == f"body has {2 * MOST_BYTES:,} bytes; allowed: at most {MOST_BYTES:,}"


def weights(line: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(line["weights"]), "<f4").reshape(line["shape"])


def test_what_a_token_looked_at_is_the_services(site: PageSite) -> None:
    ids = [token["id"] for token in site.lines("generate", model="demo", text="Where is my order?")[0]["prompt"]]
    asked = {"model": "demo", "token_ids": ids, "answer_ids": ids[:2], "first_query": 5, "num_queries": 1}
    header, *layers, end = site.lines("attention", **asked)
    keys = [token["text"] for token in header["header"]["keys"]]
    assert keys == ["Where", " is", " my", " order", "?", "Where"]  # up to the token itself
    assert len(layers) == header["header"]["num_layers"] == 4
    call = AttentionCall("demo", Subject(TokenPrompt(tuple(ids))), GivenAnswer(token_ids=tuple(ids[:2])), first_query=5)
    assert site.front_end is not None
    served = site.loop.run(site.front_end.explain.attention(replace(call, num_queries=1)))
    for line, piece in zip(layers, served.pieces, strict=True):
        np.testing.assert_array_equal(weights(line), piece.weights)
        np.testing.assert_allclose(weights(line).sum(-1), 1, rtol=1e-5)
    assert end["end"]["run_s"] > 0


def test_an_image_has_a_grid(site: PageSite) -> None:
    header, *_ = site.lines("attention", model="shapes", image=png_of_a_square(), first_query=0, num_queries=1)
    grid = header["header"]["grid"]
    assert grid["rows"] * grid["columns"] + grid["num_prefix"] == len(header["header"]["keys"])


def test_what_an_answer_hung_on(site: PageSite) -> None:
    told = site.call("attribute", model="sentiment", text="a lovely film")
    assert [part["text"] for part in told["parts"]] == ["a", "lovely", "film"]
    assert max(told["parts"], key=lambda part: part["weight"])["text"] == "lovely"
    assert told["answer"] == "positive"


def test_a_word_in_two_contexts(site: PageSite) -> None:
    contexts = [{"text": text, "word": "day"} for text in ("a bad day", "a lovely day", "a bad day")]
    cosines = np.array(site.call("similarity", model="sentiment", contexts=contexts)["cosines"])
    assert cosines[0, 2] == pytest.approx(1)
    assert cosines[0, 1] < 0.9


def running(site: PageSite) -> int:
    return site.metrics.counts()["endless"].running


def test_a_browser_that_leaves_frees_its_place(site: PageSite) -> None:
    connection = site.connect()
    body = json.dumps({"model": "endless", "text": "go on", "max_tokens": 4000})
    connection.request("POST", "/page/generate", body, {"content-type": "application/json"})
    assert b"prompt" in connection.getresponse().readline()
    eventually(lambda: running(site) == 1)
    connection.close()
    eventually(lambda: running(site) == 0)


def test_a_browser_that_leaves_while_it_waits_frees_its_place(site: PageSite) -> None:
    body = json.dumps({"model": "endless", "text": "go on", "max_tokens": 4000})
    connections = [site.connect() for _ in range(3)]
    for connection in connections:
        connection.request("POST", "/page/generate", body, {"content-type": "application/json"})
    eventually(lambda: site.metrics.counts()["endless"].waiting == 1)  # two run
    for connection in connections:
        connection.close()
    eventually(lambda: running(site) == 0 and site.metrics.counts()["endless"].waiting == 0)


def test_what_is_sent_is_never_logged(site: PageSite, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        site.lines("generate", model="demo", text="a secret question", max_tokens=2)
        site.call("classify", model="sentiment", text="a secret question")
        site.call("generate", model="demo", text="a secret question", max_tokens=-1)
    assert "secret" not in caplog.text
