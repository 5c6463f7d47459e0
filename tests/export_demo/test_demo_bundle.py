"""The committed bundle: small, whole, and it answers what a person types."""

from __future__ import annotations

from typing import Any

import pytest
from attendant.bundle import read_manifest, verify_files
from attendant.demo import demo_bundle
from attendant_demo.generate import bundle_answerer
from attendant_demo.labels import Labeller

QUESTIONS = {
    "hi, where's my parcel?? order 48213": "order_status",
    "I want my money back": "refund",
    "how do I change my password": "password",
    "what's the weather": "off_topic",
    "My kettle arrived broken": "damaged_item",
    "can i still cancel order 33127": "cancel_order",
    "do you deliver to Portugal?": "delivery_countries",
    "thanks, that helped a lot!": "thanks",
}


@pytest.fixture(scope="module")
def answer() -> Any:
    return bundle_answerer(demo_bundle(), threads=1)


def test_the_bundle_is_whole_and_small() -> None:
    folder = demo_bundle()
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 6_000_000
    assert (manifest.name, manifest.precision, manifest.target) == ("demo", "int8", "cpu")
    assert manifest.chat_template
    assert manifest.special_tokens.eos
    assert manifest.generation_defaults.temperature == 0


@pytest.mark.parametrize(("question", "intent"), QUESTIONS.items())
def test_it_answers_typed_questions(answer: Any, question: str, intent: str) -> None:
    assert Labeller().label(answer([[{"role": "user", "content": question}]])[0]) == intent


def test_it_copies_order_numbers(answer: Any) -> None:
    said = answer([[{"role": "user", "content": f"where is order {number}?"}] for number in ("48213", "7714902")])
    assert "order 48213" in said[0]
    assert "order 7714902" in said[1]


def test_it_remembers_what_the_order_number_is_for(answer: Any) -> None:
    messages = [{"role": "user", "content": "I want to cancel my order"}]
    messages.append({"role": "assistant", "content": answer([messages])[0]})
    messages.append({"role": "user", "content": "it's 55120"})
    said = answer([messages])[0]
    assert Labeller().label(said) == "cancel_order"
    assert "55120" in said
