"""A real server of encoders over gRPC: every call, a stream, what is refused, and how it ends under load."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from attendant_proto.v1 import encoding_pb2 as pb
from attendant_proto.v1 import encoding_pb2_grpc, models_pb2

from tests.system.encoders import FLAGS, MASK, MAX_TOKENS, failure, make_encoders, png, texts, wav
from tests.system.server import HANGS_S, PATIENT, ServerProcess, attendant, eventually, serving

TEXT = "caf\u00e9 \U0001f469\u200d\U0001f680 e\u0301"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="module")
def running(encoders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    size = ("--grpc.max-receive-bytes", "64MiB", "--grpc.max-send-bytes", "64MiB")
    with serving(log, encoders, *FLAGS, *size) as server:
        yield server


@pytest.fixture(scope="module")
def stub(running: ServerProcess) -> Any:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(running.grpc, options) as channel:
        yield encoding_pb2_grpc.EncodingStub(channel)


def test_every_call(stub: Any) -> None:
    labels = stub.Classify(pb.ClassifyRequest(inputs=texts("good", "")), timeout=HANGS_S)
    assert [sum(label.score for label in result.labels) for result in labels.results] == pytest.approx([1, 1])
    assert labels.usage.num_tokens == 4 + 2 + 2
    assert 0 < labels.usage.compute_s <= labels.usage.total_s

    vectors = stub.Embed(pb.EmbedRequest(inputs=texts("a", "b", "a"), dimensions=3), timeout=HANGS_S).embeddings
    assert [len(vector.values) for vector in vectors] == [3] * 3
    assert np.linalg.norm(vectors[0].values) == pytest.approx(1)
    assert vectors[0] == vectors[2] != vectors[1]

    tokens = stub.Embed(pb.EmbedRequest(inputs=texts(TEXT), per_token=True), timeout=HANGS_S).embeddings[0].tokens
    spans = [(token.span.start, token.span.end) for token in tokens]
    assert (spans[0], spans[-1]) == ((0, 0), (0, 0))
    assert {i for start, end in spans for i in range(start, end)} == {i for i, c in enumerate(TEXT) if c != " "}

    tagged = stub.ClassifyTokens(
        pb.ClassifyTokensRequest(texts=[TEXT * 20], stride=8, keep_outside=True, aggregation=pb.AGGREGATION_FIRST),
        timeout=30,
    ).results[0]
    assert tagged.entities
    assert all((TEXT * 20)[e.span.start : e.span.end] == e.text for e in tagged.entities)

    ranked = stub.Rerank(
        pb.RerankRequest(query="q", documents=["a", "bb", "a"], return_documents=True), timeout=HANGS_S
    )
    assert sorted(result.index for result in ranked.results) == [0, 1, 2]
    assert all(result.document == ["a", "bb", "a"][result.index] for result in ranked.results)

    question = pb.AnswerRequest.Input(question="who?", context=f"it was {TEXT} " * 10)
    (answers,) = stub.Answer(pb.AnswerRequest(inputs=[question], top_k=3, stride=8), timeout=HANGS_S).results
    assert len(answers.answers) == 3
    assert all(question.context[a.span.start : a.span.end] == a.text for a in answers.answers)

    (filled,) = stub.FillMask(pb.FillMaskRequest(texts=[f"a {MASK} b"], top_k=2), timeout=HANGS_S).results
    assert (filled.masks[0].span.start, len(filled.masks[0].fills)) == (2, 2)

    images = [png((255, 0, 0)), png((0, 0, 0))]
    seen = stub.ClassifyImage(pb.ClassifyImageRequest(images=images), timeout=HANGS_S)
    assert [label.score for label in seen.results[1].labels] == [0.5, 0.5]

    pictures = stub.EmbedImage(pb.EmbedImageRequest(images=images, normalize=True), timeout=HANGS_S).embeddings
    assert [list(vector.values) for vector in pictures] == [[1, 0, 0], [0, 0, 0]]

    loud = [pb.AudioInput(wav=wav(np.full(40, 0.5))), pb.AudioInput(wav=wav(np.zeros(5000)))]
    heard = stub.ClassifyAudio(pb.ClassifyAudioRequest(inputs=loud, truncate=True, raw_scores=True), timeout=HANGS_S)
    scores = [{label.label: label.score for label in result.labels} for result in heard.results]
    assert scores == [{"silence": 0, "noise": pytest.approx(0.5, abs=1e-4)}, {"silence": 0, "noise": 0}]

    spoken = stub.Transcribe(pb.TranscribeRequest(inputs=[pb.AudioInput(wav=wav(np.full(40, 0.5)))]), timeout=HANGS_S)
    assert len(spoken.results) == 1


def test_a_stream_of_calls(stub: Any) -> None:
    def requests() -> Iterator[pb.EncodingRequest]:
        for number in range(40):
            yield pb.EncodingRequest(id=f"c{number}", classify=pb.ClassifyRequest(inputs=texts(f"text {number}")))
            yield pb.EncodingRequest(id=f"e{number}", embed=pb.EmbedRequest(inputs=texts(f"text {number}")))
        yield pb.EncodingRequest(id="bad", classify=pb.ClassifyRequest(inputs=texts("x" * 100)))

    found = {response.id: response for response in stub.Stream(requests(), timeout=HANGS_S)}
    assert len(found) == 81
    for number in (0, 39):
        alone = stub.Classify(pb.ClassifyRequest(inputs=texts(f"text {number}")), timeout=HANGS_S)
        assert found[f"c{number}"].classify.results == alone.results
    assert (found["bad"].error.code, found["bad"].error.field) == (3, "inputs[0]")
    assert "has 102 tokens" in found["bad"].error.message


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_what_is_refused(stub: Any) -> None:
    nan = np.full(100, np.nan, "<f4").tobytes()
    cases = [
        (stub.Classify, pb.ClassifyRequest(inputs=texts("ok", "x" * 100)), "inputs[1]", f"at most {MAX_TOKENS}"),
        (stub.Classify, pb.ClassifyRequest(), "inputs", "at least one"),
        (stub.Classify, pb.ClassifyRequest(model="vectors", inputs=texts("a")), "model", "embed"),
        (stub.Embed, pb.EmbedRequest(inputs=[pb.TextInput()]), "inputs[0]", "text, token_ids"),
        (stub.FillMask, pb.FillMaskRequest(texts=["none"]), "texts[0]", MASK),
        (
            stub.ClassifyImage,
            pb.ClassifyImageRequest(images=[png((1, 2, 3)), b"\xff\xd8\xff junk"]),
            "images[1]",
            "JPEG",
        ),
        (stub.ClassifyImage, pb.ClassifyImageRequest(images=[bomb()]), "images[0]", "pixels"),
        (
            stub.ClassifyAudio,
            pb.ClassifyAudioRequest(inputs=[pb.AudioInput(wav=wav(np.zeros(5000)))]),
            "inputs[0].wav",
            "5000 samples",
        ),
        (
            stub.ClassifyAudio,
            pb.ClassifyAudioRequest(inputs=[pb.AudioInput(wav=wav(np.zeros(400))[:-80])]),
            "inputs[0].wav",
            "allowed: a whole file",
        ),
        (
            stub.Transcribe,
            pb.TranscribeRequest(inputs=[{"samples": nan, "sampling_rate": 16_000}]),
            "inputs[0]",
            "finite",
        ),
    ]
    for call, message, field, words in cases:
        code, found, details = failure(call, message)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, details
        assert found.startswith(field)
        assert words in details
    code, _, details = failure(stub.Classify, pb.ClassifyRequest(model="nobody", inputs=texts("a")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "'moods'" in details
    code, _, details = failure(stub.EmbedImage, pb.EmbedImageRequest(model="images", images=[png((1, 2, 3))]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "'pictures'" in details
    cut = stub.Classify(pb.ClassifyRequest(inputs=texts("x" * 100), truncate=True), timeout=HANGS_S)
    assert (cut.usage.num_tokens, cut.usage.num_truncated) == (MAX_TOKENS, 1)


def test_ten_megabytes_are_refused_while_others_are_served(stub: Any) -> None:
    done = threading.Event()

    def others() -> int:
        served = 0
        while not done.is_set():
            stub.Classify(pb.ClassifyRequest(inputs=texts("short")), timeout=HANGS_S)
            served += 1
        return served

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(others)
        code, field, details = failure(stub.Classify, pb.ClassifyRequest(inputs=texts("many words " * 950_000)))
        done.set()
        assert served.result(HANGS_S) > 0
    assert (code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "inputs[0]")
    assert "10450000 characters" in details


def test_five_thousand_inputs_in_one_call(stub: Any) -> None:
    inputs = [f"text {i} " + "x" * (i % 40) for i in range(5000)]
    vectors = stub.Embed(pb.EmbedRequest(inputs=texts(*inputs)), timeout=HANGS_S).embeddings
    assert len(vectors) == 5000
    for index in (0, 1234, 4999):
        alone = stub.Embed(pb.EmbedRequest(inputs=texts(inputs[index])), timeout=HANGS_S).embeddings[0]
        assert vectors[index].values == pytest.approx(alone.values, abs=1e-6)


def test_models_and_metrics(stub: Any, running: ServerProcess) -> None:
    stub.Classify(pb.ClassifyRequest(inputs=texts("a")), timeout=HANGS_S)
    stub.Embed(pb.EmbedRequest(inputs=texts("a")), timeout=HANGS_S)
    models = {model.name: model for model in running.models.ListModels(models_pb2.ListModelsRequest()).models}
    assert models["moods"].task == "classify"
    assert list(models["moods"].labels) == ["no", "maybe", "yes"]
    assert (models["vectors"].dimensions, models["vectors"].context_length) == (4, MAX_TOKENS)
    assert running.models.GetModel(models_pb2.GetModelRequest(model="images")).context_length == 0
    found = running.metrics()
    assert found["encoder_requests_total{outcome=success,task=classify}"] > 0
    assert found["encoder_preprocess_seconds_count{task=embed}"] > 0
    assert running.serving("attendant.v1.Encoding")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.mark.parametrize(
    ("command", "stdin", "shown"),
    [
        (("embed", "one", "two"), "", "cosines:"),
        (("classify",), "first\nsecond\n", "second"),
        (("tag", "new york", "--keep-outside"), "", "0:1"),
        (("answer", "who?", "--top-k", "2"), "it was me", ":"),
        (("rerank", "q", "doc one", "doc two", "--top-k", "1"), "", "doc"),
        (("fill-mask", f"a {MASK} b"), "", "2:12"),
        (("see", "PNG", "--model", "images"), "", "light 0.5"),
        (("hear", "WAV"), "", "noise 0.6"),
        (("transcribe", "WAV"), "", "\n"),
    ],
)
def test_commands(running: ServerProcess, words: Path, command: tuple[str, ...], stdin: str, shown: str) -> None:
    (words / "PNG").write_bytes(png((0, 0, 0)))
    (words / "WAV").write_bytes(wav(np.full(40, 0.5)))
    arguments = [str(words / word) if word in ("PNG", "WAV") else word for word in command]
    done = attendant(*arguments, "--server", running.grpc, "--stats", stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert " tokens" in done.stderr
    lines = attendant(*arguments, "--server", running.grpc, "--json", stdin=stdin).stdout.splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_commands_that_fail_say_why(running: ServerProcess, words: Path) -> None:
    for command, expected in (
        (("classify", "x" * 100), "at most 64"),
        (("see", words / "missing.png"), "name one with --model: 'images', 'pictures'"),
        (("see", words / "missing.png", "--model", "pictures"), "missing.png: cannot be read"),
        (("see", words, "--model", "images"), "cannot be read"),
        (("embed", "a", "--model", "moods"), "moods"),
    ):
        done = attendant(*command, "--server", running.grpc)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert attendant("embed", "--server", running.grpc, stdin="").returncode == 2


def test_a_client_that_goes_away_frees_its_places(stub: Any, running: ServerProcess) -> None:
    rows, cancelled = "encoder_batch_rows_sum{task=classify}", "encoder_requests_total{outcome=cancelled,task=classify}"
    stub.Classify(pb.ClassifyRequest(inputs=texts("warm")), timeout=HANGS_S)

    def goes_while_it_is_served() -> bool:
        before = running.metrics()
        channel = grpc.insecure_channel(running.grpc)
        call = encoding_pb2_grpc.EncodingStub(channel).Classify.future(
            pb.ClassifyRequest(inputs=texts(*["x" * 60] * 20_000))
        )
        eventually(lambda: running.metrics()[rows] > before[rows])
        call.cancel()
        channel.close()
        eventually(lambda: not busy())
        return running.metrics().get(cancelled, 0) > before.get(cancelled, 0)

    def busy() -> bool:
        found = running.metrics()
        return any(v for k, v in found.items() if k.startswith(("encoder_rows_waiting", "encoder_rows_running")))

    eventually(goes_while_it_is_served)  # on a busy machine it may be served before it is seen


def test_a_deadline_that_passes_in_the_queue(stub: Any, running: ServerProcess) -> None:
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(stub.Classify, pb.ClassifyRequest(inputs=texts(*["x" * 60] * 5000)), timeout=HANGS_S)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Classify(pb.ClassifyRequest(inputs=texts(*["x" * 60] * 5000)), timeout=0.02)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(busy.result(HANGS_S).results) == 5000


def test_a_deadline_that_passes_while_a_call_runs_is_counted(stub: Any, running: ServerProcess) -> None:
    name = "encoder_requests_total{outcome=deadline_exceeded,task=classify}"
    before, patience_s = running.metrics().get(name, 0), 0.05
    with ThreadPoolExecutor(1) as pool:
        while running.metrics().get(name, 0) == before:  # a short one may pass on the way
            assert patience_s < HANGS_S, "none was counted"
            busy = pool.submit(stub.Classify, pb.ClassifyRequest(inputs=texts(*["x" * 60] * 5000)), timeout=HANGS_S)
            with suppress(grpc.RpcError):
                stub.Classify(pb.ClassifyRequest(inputs=texts(*["x" * 60] * 900)), timeout=patience_s)
            busy.result(HANGS_S)
            patience_s *= 1.4


def test_sigterm_lets_a_call_of_many_rows_finish(encoders: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", encoders / "moods", *FLAGS, *PATIENT) as server, ThreadPoolExecutor(1) as pool:
        stub = encoding_pb2_grpc.EncodingStub(server.channel)
        stub.Classify(pb.ClassifyRequest(inputs=texts("warm")), timeout=HANGS_S)
        large = pool.submit(stub.Classify, pb.ClassifyRequest(inputs=texts(*["x" * 60] * 30_000)), timeout=HANGS_S)
        eventually(lambda: server.metrics()["encoder_batch_rows_sum{task=classify}"] > 1)
        assert not large.done()
        server.terminate()
        assert len(large.result(HANGS_S).results) == 30_000
        assert server.wait() == 0
    assert "Traceback" not in server.log()
