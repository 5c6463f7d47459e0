"""Encoder-decoders and beam search over a real server: languages, hypotheses, refusals, callers that go away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from tests.system.encoders import failure
from tests.system.server import ServerProcess, eventually, serving

pytest.importorskip("torch", reason="the exporter is not installed")

from attendant_export.cli import main

from tests.export.seq2seq_families import POSITIONS, save_folder

FAMILIES = ("nllb", "marian_multi", "bart")
BEAMS = pb.BeamSearch(num_beams=3)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translators")
    for name in FAMILIES:
        save_folder(name, folder / "sources" / name)
        assert main([str(folder / "sources" / name), str(folder / "bundles" / name), "--precision", "int8"]) == 0
    return folder / "bundles"


@pytest.fixture(scope="module")
def running(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(log, bundles, "--engine.max-num-seqs", 6, "--engine.threads", 1, "--no-engine.spinning") as server:
        yield server


def ask(model: str, text: str = "guten tag", **fields: Any) -> pb.GenerateRequest:
    stopping = fields.pop("stopping", pb.Stopping(max_tokens=10))
    return pb.GenerateRequest(model=model, text=text, stopping=stopping, **fields)


def answers(server: ServerProcess, request: pb.GenerateRequest) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for response in server.generation.Generate(request, timeout=300):
        found.setdefault(response.index, []).extend(response.token_ids)
    return found


def test_models_tell_what_they_read_and_which_languages_they_know(running: ServerProcess) -> None:
    nllb = running.models.GetModel(models_pb2.GetModelRequest(model="nllb"))
    assert (nllb.task, nllb.max_source_tokens) == ("generate", POSITIONS)
    assert list(nllb.languages) == ["deu_Latn", "eng_Latn", "fra_Latn"]
    bart = running.models.GetModel(models_pb2.GetModelRequest(model="bart"))
    assert (bart.default_num_beams, list(bart.languages)) == (4, [])
    assert bart.default_sampling.no_repeat_ngram_size == 3


def test_languages_decide_the_answer(running: ServerProcess) -> None:
    found = {}
    for source in ("eng_Latn", "deu_Latn"):
        for target in ("fra_Latn", "deu_Latn"):
            languages = pb.Translation(source_language=source, target_language=target)
            request = ask("nllb", translation=languages, logprobs=0)
            responses = list(running.generation.Generate(request, timeout=300))
            entries = [entry for response in responses for entry in response.logprobs]
            found[source, target] = tuple((entry.token_id, entry.logprob) for entry in entries)
    assert len(set(found.values())) == 4  # the source language shows in how probable an answer is, at least
    first = {target: entries[0][0] for (_, target), entries in found.items()}
    assert first["fra_Latn"] != first["deu_Latn"]
    for code in running.models.GetModel(models_pb2.GetModelRequest(model="marian_multi")).languages:
        request = ask("marian_multi", translation=pb.Translation(target_language=code))
        *_, last = running.generation.Generate(request, timeout=300)
        language, end, start = 1, 1, 1
        assert last.finish.usage.prompt_tokens == language + len("guten tag") + end + start


def test_hypotheses_come_whole_and_best_first(running: ServerProcess) -> None:
    request = ask("bart", n=3, beam_search=BEAMS, logprobs=0)
    responses = list(running.generation.Generate(request, timeout=300))
    assert [response.HasField("finish") for response in responses] == [False, True] * 3
    assert [response.index for response in responses] == [0, 0, 1, 1, 2, 2]
    scores = [sum(entry.logprob for entry in response.logprobs) for response in responses[::2]]
    lengths = [response.finish.usage.completion_tokens for response in responses[1::2]]
    # what is returned besides the tokens, the log-probability of the one that ends an answer, is not among these
    assert all(score < 0 for score in scores)
    assert len({tuple(response.token_ids) for response in responses[::2]}) == 3
    assert max(lengths) <= 10
    assert responses[1].finish.usage.prompt_tokens == len("guten tag") + 2 + 1


def test_the_model_searches_by_default_and_can_be_told_not_to(running: ServerProcess) -> None:
    searched, greedy = [], []
    for text in ("guten tag", "abc", "q", "hello there"):  # for some, both find the same
        default = answers(running, ask("bart", text, whole=True))
        assert default == answers(running, ask("bart", text, beam_search=pb.BeamSearch(num_beams=4)))
        searched.append(default)
        greedy.append(answers(running, ask("bart", text, beam_search=pb.BeamSearch(num_beams=1))))
    assert greedy != searched
    sampled = pb.Sampling(temperature=1.5, seed=3)
    assert answers(running, ask("bart", sampling=sampled)) != greedy[0]


def test_what_is_refused(running: ServerProcess) -> None:
    french = pb.Translation(target_language="fra_Latn", source_language="eng_Latn")
    cases = [
        (ask("nllb"), "translation.target_language", "is empty; this model has to be told; allowed: deu_Latn"),
        (ask("nllb", translation=pb.Translation(target_language="xx")), "translation.target_language", "is 'xx'"),
        (ask("bart", translation=french), "translation", "names the language 'fra_Latn'"),
        (ask("bart", ""), "text", "is empty"),
        (ask("bart", " \n "), "text", "is empty"),
        (ask("bart", "x" * 200), "text", f"allowed: at most {POSITIONS}"),
        (ask("bart", n=4, beam_search=BEAMS), "n", "allowed with beam search: 1 to num_beams, 3"),
        (ask("bart", beam_search=pb.BeamSearch(num_beams=7)), "beam_search.num_beams", "allowed: 2 to 6"),
        (ask("bart", beam_search=BEAMS, sampling=pb.Sampling(temperature=1)), "sampling.temperature", "allowed"),
        (ask("bart", beam_search=BEAMS, logprobs=2), "logprobs", "allowed with beam search: 0"),
        (pb.GenerateRequest(model="bart", chat=pb.Chat(messages=[{"role": "user"}])), "chat", "reads a text"),
    ]
    for request, field, words in cases:
        code, found, details = failure(lambda message, timeout: list(running.generation.Generate(message)), request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, details
        assert found == field, details
        assert words in details
    assert running.is_idle()


def test_many_callers_get_what_each_gets_alone(running: ServerProcess) -> None:
    """Greedy answers and searches of three models at once, more than run together."""
    french = pb.Translation(source_language="eng_Latn", target_language="fra_Latn")
    requests = [
        request
        for length in (1, 9, 30)
        for request in (
            ask("bart", "abc " * length if length < 30 else "y" * 90, beam_search=BEAMS, n=2),
            ask("bart", "q" * (2 * length), beam_search=pb.BeamSearch(num_beams=1)),
            ask("nllb", "v" * (2 * length), translation=french),
        )
    ]
    alone = [answers(running, request) for request in requests]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda request: answers(running, request), requests * 4))
    assert together == alone * 4
    eventually(running.is_idle)


def test_a_caller_that_leaves_frees_all_its_beams(running: ServerProcess) -> None:
    stopping = pb.Stopping(max_tokens=90, ignore_eos=True)
    eventually(running.is_idle)
    before = running.arrived()
    calls = [
        running.generation.Generate(ask("bart", "long " * 10, beam_search=BEAMS, stopping=stopping)) for _ in range(6)
    ]
    eventually(lambda: running.arrived() > before)
    for call in calls:
        call.cancel()
    eventually(running.is_idle)
