"""The committed translator, through the server's own engine: small, whole, and right on sentences it never saw."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attendant.bundle import read_manifest, verify_files
from attendant.core.generation import BeamCall, GenerationCall, TextPrompt, Translation
from attendant.demo import demo_bundle
from attendant_demo.translator import evaluate
from attendant_demo.translator.translate import bundle_translator

from tests.frontend.generation.helpers import collect, load, with_model

FOLDER = demo_bundle().parent / "translator"


@pytest.fixture(scope="module")
def translate() -> Any:
    """Texts to translations, as many at a time as the engine takes."""
    model = load(FOLDER, max_num_seqs=16, max_queue=1000, threads=1)

    def all_of(texts: list[str], num_beams: int = 1) -> Any:
        found = []

        async def test(service: Any) -> None:
            async def one(text: str) -> Any:
                beams = BeamCall(num_beams)
                call = GenerationCall("", TextPrompt(text), beam_search=beams, translation=Translation())
                return (await collect(service, call))[0].get(0, "")

            found.extend(await asyncio.gather(*(one(text) for text in texts)))

        assert with_model(model, test) == []
        return found

    return all_of


def test_the_bundle_is_whole_and_small() -> None:
    manifest = read_manifest(FOLDER)
    verify_files(FOLDER, manifest)
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) <= 6_000_000
    assert (manifest.name, manifest.precision, manifest.target) == ("translator", "int8", "cpu")
    source: Any = manifest.encoder_input
    assert (source.kind, source.layout) == ("text", "packed")
    assert manifest.generation_defaults.num_beams == 1
    assert manifest.answer.forced_last is None


@pytest.mark.parametrize("part", ["held_out", "new_pairs"])
def test_sentences_it_never_saw(translate: Any, part: Any) -> None:
    score = evaluate.score(translate, evaluate.held_out(part, 250))
    assert score.exact > 0.88, score.wrong


def test_typed_sentences(translate: Any) -> None:
    score = evaluate.score(translate, evaluate.typed())
    assert score.examples >= 30
    assert score.exact >= 0.9, score.wrong


def test_beams_are_as_good(translate: Any) -> None:
    examples = evaluate.held_out("held_out", 60)
    score = evaluate.score(lambda texts: translate(texts, num_beams=3), examples)
    assert score.exact > 0.88, score.wrong


def test_the_build_reads_a_bundle_as_the_server_does(translate: Any) -> None:
    texts = [example.english for example in evaluate.typed()]
    assert bundle_translator(FOLDER, threads=1)(texts) == translate(texts)
