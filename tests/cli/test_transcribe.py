"""``attendant transcribe`` on models that write what they hear: files, streams, formats, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attendant.cli import main
from attendant.models.info import GenerationInfo, ModelInfo, ModelState

from tests.frontend.speech.helpers import Answer, FakeGenerator, T, speech_model, speech_service
from tests.rpc.fake import FakeService, run, serving
from tests.tasks.test_audio import wav
from tests.tasks.test_sound import flac

Transcribe = Callable[..., tuple[int, str, str]]


class Listed(FakeService):
    """Lists a speech model beside one that only generates."""

    def list_models(self) -> tuple[ModelInfo, ...]:
        found = (speech_model(), speech_model("mouth", speech=None))
        return tuple(
            ModelInfo(part.manifest, part.capabilities, ModelState.READY, GenerationInfo(part.manifest, 12, 4, 8))
            for part in found
        )

    def get_model(self, name: str) -> ModelInfo:
        return {info.manifest.name: info for info in self.list_models()}[name]


@pytest.fixture
def transcribe(capsys: pytest.CaptureFixture[str]) -> Transcribe:
    """Run the command against a server whose model answers by script."""

    def command(generator: FakeGenerator, *words: object) -> tuple[int, str, str]:
        code: list[int] = []

        async def test() -> None:
            async with serving(Listed(), speech=speech_service(generator)) as (address, _):
                arguments = ["transcribe", *map(str, words), "--server", address]
                code.append(await asyncio.to_thread(main, arguments))

        run(test)
        shown = capsys.readouterr()
        return code[0], shown.out, shown.err

    return command


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "two.flac"
    samples = 0.1 * np.random.default_rng(0).standard_normal(int(1.5 * 48_000))
    path.write_bytes(flac(samples, 48_000))
    return path


def test_text_of_files(transcribe: Transcribe, recording: Path) -> None:
    other = recording.with_name("other.wav")
    other.write_bytes(wav(np.zeros(8000)))
    code, out, err = transcribe(FakeGenerator(Answer((0,)), Answer((1,)), Answer((2,))), recording, other, "--stats")
    assert (code, out) == (0, "a b\nc\n")
    assert err.startswith("1.5 s of sound in 'de' (0.75); 4 prompt tokens, 10 new; ")


def test_segments_with_times(transcribe: Transcribe, recording: Path) -> None:
    generator = FakeGenerator(Answer((T, 0, T + 20, T + 20, 1, T + 30)))
    code, out, _ = transcribe(generator, recording, "--timestamps", "--language", "fr", "--translate", "--beams", "3")
    assert code == 0
    assert out.splitlines()[:2] == ["[00:00.00 --> 00:00.40]  a", "[00:00.40 --> 00:00.60]  b"]
    assert out.splitlines()[2:] == ["[00:01.00 --> 00:01.40]  a", "[00:01.40 --> 00:01.50]  b"]
    beams = generator.calls[0].beam_search
    assert beams is not None
    assert (beams.num_beams, len(generator.demands[0].opening)) == (3, 2)


def test_json(transcribe: Transcribe, recording: Path) -> None:
    _, out, _ = transcribe(FakeGenerator(Answer((0,))), recording, "--json")
    found = json.loads(out)
    assert (found["input"], found["text"], found["language"]) == (str(recording), "a a", "de")
    assert [segment["end_s"] for segment in found["segments"]] == [1.0, 1.5]


def test_a_stream_shows_what_may_change(
    transcribe: Transcribe, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attendant.frontend.speech import transcription

    monkeypatch.setattr(transcription, "PARTIAL_S", 0.3)
    code, out, err = transcribe(FakeGenerator(Answer((0,))), recording, "--stream", "--model", "ears")
    assert (code, out) == (0, "a\na\n")
    assert set(err.splitlines()) == {"... a"}
    _, out, _ = transcribe(FakeGenerator(Answer((0,))), recording, "--stream", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["finish"]["text"] == "a a"
    assert {key for line in lines for key in line} == {"input", "segment", "partial", "finish"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("FILE", "--language", "xx"), "INVALID_ARGUMENT: options.language is 'xx'; allowed: de, en, fr"),
        (("missing.wav",), "missing.wav: cannot be read"),
        (("BROKEN",), "INVALID_ARGUMENT: file is of no known format"),
        (("BROKEN", "--stream"), "broken is of no known format"),
        (("FILE", "--model", "mouth", "--beams", "2"), "--beams: only for models that write what they hear; 'mouth'"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(
    transcribe: Transcribe, recording: Path, arguments: tuple[str, ...], words: str
) -> None:
    broken = recording.with_name("broken")
    broken.write_bytes(b"x" * 100)
    places = {"FILE": str(recording), "BROKEN": str(broken)}
    code, _, err = transcribe(FakeGenerator(Answer((0,))), *(places.get(word, word) for word in arguments))
    assert (code, len(err.splitlines())) == (1, 1)
    assert words in err
