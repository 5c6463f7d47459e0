"""Tokens as vLLM's callers ask for them, the list of models, and whether the server takes calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from attendant import __version__
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.generation import TextPrompt
from attendant.http.api.openai.models import model_object
from attendant.http.app import http_app
from attendant.metrics import Metrics
from attendant.models.entry import Entry
from attendant.models.info import ModelInfo, ModelState

from tests.http.api.openai.conftest import client_of
from tests.http.api.served import ApiSite
from tests.http.loop import Site
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiSite]:
    folder = tmp_path_factory.mktemp("bundles")
    encoder = make_text_encoder(folder / "e", "embed", name="e")
    site = ApiSite(make_synthetic_bundle(folder / "m", name="m"), encoder)
    yield site
    site.close()


CHAT = ChatPrompt((ChatMessage("user", "hello"),))
MESSAGES = [{"role": "user", "content": "hello"}]


def tokens(site: ApiSite, prompt: TextPrompt | ChatPrompt, model: str = "m") -> list[int]:
    return list(site.loop.run(site.front_end.tokenizer.tokenize(model, prompt)).token_ids)


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({"prompt": "hello"}, TextPrompt("hello")),
        ({"prompt": "hello", "add_special_tokens": False}, TextPrompt("hello", add_special_tokens=False)),
        ({"messages": MESSAGES}, CHAT),
        ({"messages": MESSAGES, "add_generation_prompt": False}, replace(CHAT, adds_generation_prompt=False)),
    ],
)
def test_tokens_are_those_of_the_model(site: ApiSite, body: dict[str, Any], prompt: TextPrompt | ChatPrompt) -> None:
    status, told = site.post("/tokenize", {"model": "m", **body})
    wanted = tokens(site, prompt)
    assert status == 200, told
    assert told == {"count": len(wanted), "max_model_len": 256, "tokens": wanted, "token_strs": None}


def test_tokens_are_spelled_if_asked(site: ApiSite) -> None:
    told = site.post("/tokenize", {"model": "m", "prompt": "hello", "return_token_strs": True})[1]
    assert told["token_strs"] == list("hello")


def test_tokens_of_a_model_that_encodes(site: ApiSite) -> None:
    status, told = site.post("/tokenize", {"model": "e", "prompt": "hello"})
    assert (status, told["tokens"], told["max_model_len"]) == (200, tokens(site, TextPrompt("hello"), "e"), None)


def test_a_text_comes_back(site: ApiSite) -> None:
    for text in ("hello", "\u00e9\U0001f600", ""):
        ids = tokens(site, TextPrompt(text))
        assert site.post("/detokenize", {"model": "m", "tokens": ids}) == (200, {"prompt": text})


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": MESSAGES}, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": []}, "tools"),
        ("/tokenize", {"messages": MESSAGES, "add_special_tokens": True}, "add_special_tokens"),
        ("/tokenize", {"messages": [], "x": 1}, "x"),
        ("/tokenize", {"messages": MESSAGES, "chat_template_kwargs": {"x": 1}}, "chat_template_kwargs"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "tokens"),
        ("/detokenize", {"tokens": [10**400]}, "tokens"),
        ("/detokenize", {"tokens": [99999]}, "tokens"),
    ],
)
def test_what_cannot_be_is_refused_by_name(site: ApiSite, path: str, body: dict[str, Any], field: str) -> None:
    status, told = site.post(path, {"model": "m", **body})
    assert status == 400, told
    assert str(told["error"]["param"]).partition("[")[0].partition(".")[0] == field, told


def test_models_are_listed_and_found_by_name(site: ApiSite) -> None:
    with client_of(site) as client:
        assert [model.id for model in client.models.list()] == ["m", "e"]
        assert client.models.retrieve("m").id == "m"
        for name in ("nobody/here", "nobody", "m@7"):
            with pytest.raises(openai.NotFoundError) as caught:
                client.models.retrieve(name)
            assert caught.value.code == "model_not_found"
    status, _, body = site.get("/v1/models/m")
    assert (status, json.loads(body)["max_model_len"]) == (200, 256)
    assert json.loads(site.get("/v1/models/nobody%2Fhere")[2])["error"]["param"] == "model"


def test_an_older_version_is_listed_with_its_number(site: ApiSite) -> None:
    info = site.front_end.served_model("m")
    assert isinstance(info, ModelInfo)
    older = replace(info, current=False, manifest=info.manifest.model_copy(update={"version": "3"}))
    assert model_object(older, 5)["id"] == "m@3"
    assert model_object(info, 5) == {
        "id": "m",
        "object": "model",
        "created": 5,
        "owned_by": "attendant",
        "root": "m",
        "parent": None,
        "max_model_len": 256,
    }


def test_health_under_the_names_that_others_ask_for(site: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.get("/health")[0] == site.get("/ping")[0] == site.ask("/ping", "POST")[0] == 200
    assert json.loads(site.get("/version")[2]) == {"version": __version__}
    monkeypatch.setattr(Entry, "state", ModelState.FAILED)
    assert site.get("/health")[0] == 503


def test_health_before_models_are_loaded() -> None:
    site = Site(http_app(Metrics(), lambda: False, front_end=lambda: None))
    assert site.get("/health")[0] == site.get("/ping")[0] == 503
    assert site.get("/version")[0] == 200
    site.close()
