"""Recordings through a real exported model: the text that transformers' ``generate`` finds, window by window."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tokenizers
from attendant.core.context import CallContext
from attendant.core.errors import Draining
from attendant.core.generation import BeamCall, GenerationCall, TokenPrompt
from attendant.core.stages import CallEnd
from attendant.frontend.front_end import FrontEnd
from attendant.frontend.speech.calls import RawSound, SpeechCall, SpeechResult
from attendant.logs.fields import fields_of
from attendant.metrics import Metrics
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles
from attendant.tasks.segments import cut, whole

from tests.frontend.generation.helpers import load, num_active
from tests.logs.records import Taken, tally_of
from tests.system.server import attendant, serving
from tests.traces.collector import Collector, collecting
from tests.whisper import make_whisper_bundle

torch = pytest.importorskip("torch", reason="the exporter is not installed")

import transformers  # noqa: E402

from tests.export.seq2seq_families import FAMILIES, POSITIONS, PREPROCESSOR, make_model, tokenizer_json  # noqa: E402

RATE = 16_000  # a window has a second
STEP = 320  # samples of a timestamp
FIRST, PREVIOUS, END = map(FAMILIES["whisper"].id_of, ("<|0.00|>", "<|startofprev|>", "<|endoftext|>"))
WORDS = tokenizers.Tokenizer.from_str(tokenizer_json("whisper"))
LANGUAGES = {FAMILIES["whisper"].id_of(f"<|{code}|>"): code for code in ("en", "de", "fr")}

Segments = list[tuple[float, tuple[int, ...]]]


@pytest.fixture(scope="module")
def model() -> Any:
    return make_model("whisper")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper_bundle(tmp_path_factory.mktemp("whisper") / "bundle")


def sound(seconds: float, seed: int = 3) -> RawSound:
    """A voice of noise that comes and goes."""
    time = np.arange(int(seconds * RATE)) / RATE
    loud = 0.2 * np.abs(np.sin(2 * np.pi * 0.7 * time)) * np.random.default_rng(seed).standard_normal(len(time))
    return RawSound((loud.clip(-1, 1) * 32767).astype("<i2").tobytes(), RATE)


def transcribe(bundle: Path, call: SpeechCall, *recordings: RawSound) -> list[SpeechResult]:
    """All recordings at once."""
    found: list[SpeechResult] = []

    async def test() -> None:
        front_end = FrontEnd(Metrics(), lambda name, error: pytest.fail(f"{name}: {error}"))
        await front_end.start(LoadedBundles((LoadedModel.of(load(bundle, max_queue=20)),)))
        try:
            asked = (front_end.speech.transcribe(call, recording) for recording in recordings)
            found.extend(await asyncio.gather(*asked))
        finally:
            await front_end.close()

    asyncio.run(asyncio.wait_for(test(), 300))
    return found


def expected(model: Any, recording: RawSound, call: SpeechCall, num_beams: int) -> Segments:
    """What ``generate`` says to each window."""
    extract = transformers.WhisperFeatureExtractor(
        PREPROCESSOR["feature_size"], chunk_length=PREPROCESSOR["chunk_length"]
    )
    samples = np.frombuffer(recording.pcm16, "<i2").astype(np.float32) / 2**15
    start, segments, language = 0, Segments(), call.language
    before = WORDS.encode(f" {call.prompt}", add_special_tokens=False).ids if call.prompt else []
    while start < len(samples):
        window = samples[start : start + RATE]
        features = torch.tensor(extract(window, sampling_rate=RATE, return_tensors="np")["input_features"])
        known = before if call.condition_on_previous_text or not start else []
        told = [PREVIOUS, *known[-(POSITIONS // 2 - 1) :]] if known else []
        output = model.generate(
            features,
            task="transcribe",
            language=language or None,
            prompt_ids=torch.tensor(told) if told else None,
            return_timestamps=call.timestamps,
            force_unique_generate_call=True,
            num_beams=num_beams,
        )
        answer = output[0].tolist()[len(told) :]
        language = language or LANGUAGES[answer[1]]
        tokens = [token for token in answer[3 if call.timestamps else 4 :] if token != END]
        length = -(-len(window) // STEP)
        found = (cut if call.timestamps else whole)(tokens, FIRST, length)
        segments += [(round((start / RATE) + piece.start / 50, 6), piece.tokens) for piece in found.pieces]
        before += [token for piece in found.pieces for token in piece.spoken]
        start += len(window) if found.advance >= length else found.advance * STEP
    return [(begin, tokens) for begin, tokens in segments if tokens]


def segments_of(result: SpeechResult) -> Segments:
    return [(round(segment.start_s, 6), segment.token_ids) for segment in result.segments]


@pytest.mark.parametrize(
    ("num_beams", "fields"),
    [
        (1, {"timestamps": True}),
        (1, {"timestamps": True, "language": "de", "condition_on_previous_text": True}),
        (3, {"timestamps": True, "language": "en"}),
        (1, {"language": "fr"}),
        (3, {"condition_on_previous_text": True}),
        (1, {"timestamps": True, "prompt": "Zenith"}),
    ],
)
def test_windows_are_answered_as_generate_answers_them(
    model: Any, bundle: Path, num_beams: int, fields: dict[str, Any]
) -> None:
    call = SpeechCall("", GenerationCall("", TokenPrompt(()), beam_search=BeamCall(num_beams)), **fields)
    recordings = [sound(1.2, seed) for seed in (3, 4)]
    for result, recording in zip(transcribe(bundle, call, *recordings), recordings, strict=True):
        wanted = expected(model, recording, call, num_beams)
        assert segments_of(result) == wanted
        assert len(wanted) > 1


def test_a_recording_of_several_windows_outlives_the_begin_of_a_drain(bundle: Path) -> None:
    call = SpeechCall("", GenerationCall("", TokenPrompt(()), beam_search=BeamCall(1)))
    recording = sound(6.5)
    undisturbed = transcribe(bundle, call, recording)
    ended: list[SpeechResult] = []

    async def test() -> None:
        front_end = FrontEnd(Metrics(), lambda *death: pytest.fail(str(death)))
        await front_end.start(LoadedBundles((LoadedModel.of(load(bundle)),)))
        task = asyncio.create_task(front_end.speech.transcribe(call, recording))
        while not num_active(front_end.generation):
            await asyncio.sleep(0)
        await front_end.drain(30)
        ended.append(await task)
        with pytest.raises(Draining):
            await front_end.speech.transcribe(call, recording)
        await front_end.close()

    asyncio.run(asyncio.wait_for(test(), 300))
    assert [result.segments for result in ended] == [result.segments for result in undisturbed]
    assert len(ended[0].segments) == 7


def test_a_server_and_its_command(bundle: Path, tmp_path: Path) -> None:
    samples = np.frombuffer(sound(2.5).pcm16, "<i2")
    file, broken = tmp_path / "voice.flac", tmp_path / "broken.flac"
    soundfile.write(file, samples, RATE)
    cut = tmp_path / "cut.flac"
    cut.write_bytes(file.read_bytes()[:-2000])
    broken.write_bytes(file.read_bytes()[:100])
    flags = ("--engine.max-num-seqs", 2, "--speech.max-duration-s", 3, "--traces.enabled")
    with (
        collecting() as collector,
        serving(tmp_path / "log", bundle, *flags, "--traces.endpoint", collector.endpoint) as server,
    ):
        told = attendant("transcribe", file, "--timestamps", "--json", "--server", server.grpc)
        assert told.returncode == 0, told.stderr
        whole_file = json.loads(told.stdout)
        assert (whole_file["duration_s"], whole_file["language"] in LANGUAGES.values()) == (2.5, True)
        streamed = attendant("transcribe", file, "--timestamps", "--json", "--stream", "--server", server.grpc)
        assert streamed.returncode == 0, streamed.stderr
        lines = [json.loads(line) for line in streamed.stdout.splitlines()]
        assert [line["segment"] for line in lines if "segment" in line] == whole_file["segments"]
        assert lines[-1]["finish"]["text"] == whole_file["text"]
        short = attendant("transcribe", cut, "--json", "--server", server.grpc)
        assert (short.returncode, "warning: " in short.stderr) == (0, True), short.stderr
        assert 0 < json.loads(short.stdout)["duration_s"] < 2.5
        for words, reason in (
            ((broken,), "INVALID_ARGUMENT: file is a file"),
            ((file, "--language", "xx"), "INVALID_ARGUMENT: options.language is 'xx'; allowed: de, en, fr"),
            ((file, "--beams", "77"), "INVALID_ARGUMENT: options.beam_search.num_beams is 77; allowed: 2 to 2"),
        ):
            failed = attendant("transcribe", *words, "--server", server.grpc)
            assert (failed.returncode, reason in failed.stderr) == (1, True), failed.stderr
        assert server.serving("attendant.v1.Speech")
        found = server.metrics()
        assert found["speech_requests_total{outcome=success}"] == 3
        assert found["speech_requests_total{outcome=invalid_request}"] == 3
        assert found["speech_audio_seconds_total"] >= 5
        assert server.is_idle()
        server.terminate()
        assert server.wait() == 0
    _check_spans(collector, whole_file["language"])


def _check_spans(collector: Collector, language: str) -> None:
    """Of the first recording, which has two windows and a half."""
    recording = min((s for s in collector.spans if s.name.startswith("transcribe ")), key=lambda s: s.begin_ns)
    assert {
        "gen_ai.operation.name": "transcribe",
        "attendant.audio_s": 2.5,
        "attendant.language": language,
    }.items() <= recording.attributes.items()
    windows = [span for span in collector.parts(recording) if span.name == "window"]
    assert len(windows) >= 3
    assert "fill window" in {span.name for span in collector.parts(recording)}
    assert [span.name for span in collector.parts(windows[0])] == ["features", "generate"]
    generated = collector.parts(windows[0])[1]
    assert [s.name for s in collector.parts(generated)][:4] == ["tokenise", "admission", "queue", "prefill"]
    (prefill,) = [span for span in collector.parts(generated) if span.name == "prefill"]
    assert "encode source" in {span.name for span in collector.parts(prefill)}
    failed = [span for span in collector.roots() if span.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"]
    assert len(failed) == 3


def test_the_line_of_a_recording_has_the_numbers_of_its_answer(bundle: Path) -> None:
    log, found = Taken(), []

    async def test() -> None:
        front_end = FrontEnd(Metrics(), lambda name, error: pytest.fail(f"{name}: {error}"))
        await front_end.start(LoadedBundles((LoadedModel.of(load(bundle)),)))
        context = CallContext.new()
        context = replace(context, tally=tally_of(context, log))
        how = GenerationCall("", TokenPrompt(()), beam_search=BeamCall(1))
        try:
            found.append(await front_end.speech.transcribe(SpeechCall("", how), sound(2.5), context))
        finally:
            context.end(CallEnd("OK"))
            await front_end.close()

    asyncio.run(asyncio.wait_for(test(), 300))
    (result,), (tally,) = found, log.tallies
    told = fields_of(tally)
    assert told["audio_s"] == round(result.duration_s, 3) == 2.5
    assert (told["prompt_tokens"], told["completion_tokens"]) == (
        result.usage.prompt_tokens,
        result.usage.completion_tokens,
    )
    assert told["model"] == "whisper"
    assert told["queue_ms"] < told["first_token_ms"] < told["total_ms"]
    assert not {"n", "finish_reasons"} & {*told}
