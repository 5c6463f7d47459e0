"""Audio values: WAV files and raw samples, other rates, and clear refusals."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from attendant.bundle import AudioInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.audio import file_values, raw_values
from attendant.tasks.decoder import Decoder
from attendant.tasks.resample import resample, resampled_length

RATE = 16_000
SPEC = AudioInput(sampling_rate=RATE, min_samples=400, max_samples=60 * RATE)
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)


def body_of(samples: np.ndarray, kind: str) -> bytes:
    """Samples in -1..1 as they lie in a file."""
    if kind == "u1":
        return (samples * 127 + 128).round().astype("u1").tobytes()
    if kind == "i3":
        wide = (samples * (2**23 - 1)).round().astype("<i4")
        return wide.view("u1").reshape(-1, 4)[:, :3].tobytes()
    if kind.startswith("i"):
        return (samples * (2 ** (8 * int(kind[1]) - 1) - 1)).round().astype(f"<{kind}").tobytes()
    return samples.astype(f"<{kind}").tobytes()


def wav(samples: np.ndarray, kind: str = "i2", rate: int = RATE, channels: int = 1, extensible: bool = False) -> bytes:
    """A WAV file of samples [n] or [n, channels]."""
    body, width = body_of(samples.reshape(-1), kind), int(kind[1])
    code = 3 if kind[0] == "f" else 1
    header = struct.pack(
        "<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * width * channels, width * channels, 8 * width
    )
    if extensible:
        header += struct.pack("<HHIH", 22, 8 * width, 0, code) + bytes.fromhex("000000001000800000aa00389b71")
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd size is filled up
    parts = b"WAVE" + b"fmt " + struct.pack("<I", len(header)) + header + extra
    parts += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"), [("u1", 1 / 100), ("i2", 1e-4), ("i3", 1e-6), ("i4", 1e-7), ("f4", 1e-7), ("f8", 1e-7)]
)
def test_every_kind_of_sample_is_read(kind: str, error: float, extensible: bool) -> None:
    found, _ = file_values(wav(TONE, kind, extensible=extensible), SPEC, "inputs[0].wav")
    assert found.dtype == np.float32
    assert np.abs(found - TONE).max() < error


def test_full_scale_is_one() -> None:
    assert Decoder(wav(np.zeros(4), "u1"), "f").read(9).tolist() == [0.0] * 4
    for kind, lowest in (("i2", b"\0\x80"), ("i3", b"\0\0\x80"), ("i4", b"\0\0\0\x80")):
        data = wav(np.zeros(1), kind)[: -len(lowest)] + lowest
        assert Decoder(data, "f").read(9).tolist() == [-1.0]


def test_channels_are_averaged() -> None:
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    found, _ = file_values(wav(stereo, "f4", channels=2), SPEC, "inputs[0].wav")
    assert np.abs(found - TONE / 2).max() < 1e-6


def test_a_file_written_to_a_pipe_has_no_sizes() -> None:
    data = bytearray(wav(TONE))
    place = data.index(b"data") + 4
    data[place : place + 4] = data[4:8] = b"\xff\xff\xff\xff"
    assert len(file_values(bytes(data), SPEC, "inputs[0].wav")[0]) == len(TONE)


def test_normalised_values_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    spec = SPEC.model_copy(update={"normalise": True})
    raw = (TONE * 0.1 + 0.3).astype(np.float32)
    extract = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    wanted = extract(raw, sampling_rate=RATE, return_tensors="np")["input_values"][0]
    found = raw_values(raw.tobytes(), RATE, spec, "inputs[0].samples", "inputs[0].sampling_rate")
    assert np.abs(found - wanted).max() < 1e-4
    silence = raw_values(bytes(4000), RATE, spec, "inputs[0].samples", "inputs[0].sampling_rate")
    assert not silence.any()


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000, 15_999])
@pytest.mark.parametrize("tone", [97.0, 1_000.0, 3_400.0])
def test_a_sine_stays_the_same_sine_at_another_rate(rate: int, tone: float) -> None:
    given = np.sin(2 * np.pi * tone * np.arange(rate // 4) / rate)
    found = resample(given, rate, RATE)
    assert len(found) == resampled_length(len(given), rate, RATE)
    wanted = np.sin(2 * np.pi * tone * np.arange(len(found)) / RATE)
    inner = slice(200, -200)  # outside of the samples the signal is zero
    assert np.abs(found - wanted)[inner].max() < 1e-3


@pytest.mark.parametrize("tone", [8_400.0, 9_000.0, 15_000.0, 23_000.0])
def test_what_the_lower_rate_cannot_hold_is_filtered_out(tone: float) -> None:
    found = resample(np.sin(2 * np.pi * tone * np.arange(12_000) / 48_000), 48_000, RATE)
    assert np.abs(found[200:-200]).max() < 1e-3


def test_the_level_is_kept_and_the_same_rate_changes_nothing() -> None:
    assert np.allclose(resample(np.ones(4000), 44_100, RATE)[200:-200], 1)
    assert resample(TONE, RATE, RATE) is TONE
    assert len(resample(np.ones(1), 48_000, RATE)) == 1


def test_a_file_of_another_rate_is_resampled() -> None:
    given = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 44_100)
    found, _ = file_values(wav(given, rate=44_100), SPEC, "inputs[0].wav")
    assert len(found) == 8000
    assert np.abs(found - TONE)[200:-200].max() < 1e-3


def with_format(**changes: int) -> bytes:
    """A good file with other numbers in its header."""
    data = bytearray(wav(TONE))
    places = {"kind": (20, "<H"), "channels": (22, "<H"), "rate": (24, "<I"), "frame": (32, "<H"), "bits": (34, "<H")}
    for name, value in changes.items():
        struct.pack_into(places[name][1], data, places[name][0], value)
    return bytes(data)


WHOLE = wav(TONE)
REFUSED_FILES = {
    "empty": (b"", "is empty; allowed: a WAV, FLAC"),
    "no sound": (b"ID3\x04" + bytes(500), "(504 bytes)"),
    "without samples": (WHOLE[: WHOLE.index(b"data")], "that cannot be decoded"),
    "without a format": (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "that cannot be decoded"),
    "of an unknown kind": (with_format(kind=0x1234), "that cannot be decoded"),
    "without channels": (with_format(channels=0), "that cannot be decoded"),
    "of a rate of 0": (with_format(rate=0), "that cannot be decoded"),
    "of a mad rate": (with_format(rate=500_000), "has a sampling rate of 500000 Hz; allowed: 4000 to 384000 Hz"),
    "of too few samples": (wav(TONE[:399]), "has 399 samples at the model's 16000 Hz (0.025 s); allowed: 400 to"),
    "too long": (wav(np.zeros(60 * 8000 + 1), "u1", rate=8000), "has 960002 samples at the model's 16000 Hz"),
    "of NaN": (wav(np.full(8000, np.nan), "f4"), "has a sample that is infinite or not a number"),
    "of infinity": (wav(np.append(TONE, np.inf), "f8"), "has a sample that is infinite or not a number"),
    "of what float32 cannot hold": (wav(np.append(TONE, 1e300), "f8"), "has a sample of magnitude 1e+300"),
}


@pytest.mark.parametrize("kind", REFUSED_FILES)
def test_what_is_no_good_file_is_refused(kind: str) -> None:
    data, reason = REFUSED_FILES[kind]
    with pytest.raises(InvalidRequest) as caught:
        file_values(data, SPEC, "inputs[2].wav")
    assert caught.value.field == "inputs[2].wav"
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("data", "rate", "field", "reason"),
    [
        (b"", RATE, "samples", "has 0 samples"),
        (bytes(4001), RATE, "samples", "has 4001 bytes; allowed: 32-bit floats, a multiple of 4 bytes"),
        (bytes(4000), 0, "sampling_rate", "has a sampling rate of 0 Hz; allowed: 4000 to 384000 Hz"),
        (np.full(1000, np.nan, "<f4").tobytes(), RATE, "samples", "infinite or not a number"),
        (np.full(1000, -np.inf, "<f4").tobytes(), RATE, "samples", "infinite or not a number"),
    ],
)
def test_raw_samples_that_are_no_good_are_refused(data: bytes, rate: int, field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        raw_values(data, rate, SPEC, "inputs[0].samples", "inputs[0].sampling_rate")
    assert caught.value.field == f"inputs[0].{field}"
    assert reason in caught.value.reason


def test_a_file_that_is_too_long_is_refused_unconverted() -> None:
    long = wav(np.zeros(4_000_000), "u1", channels=2)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="has 2000000 samples"):
            file_values(long, SPEC, "inputs[0].wav")
        raw = bytes(4 * 2_000_000)
        _, before = tracemalloc.get_traced_memory()
        with pytest.raises(InvalidRequest, match="has 2000000 samples"):
            raw_values(raw, RATE, SPEC, "inputs[0].samples", "inputs[0].sampling_rate")
        assert tracemalloc.get_traced_memory()[1] - before < len(raw) + 100_000
        assert before < len(raw) + 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("channels", [1, 2, 3, 400])
def test_channels_are_averaged_block_by_block(channels: int) -> None:
    values = np.random.default_rng(3).uniform(-1, 1, (600_000 // channels, channels))
    found = Decoder(wav(values, channels=channels), "f").read(len(values) + 1)
    assert np.abs(found - values.mean(axis=1)).max() < 1e-4


def test_a_file_that_ends_early_gives_what_it_has_and_says_so() -> None:
    found, early_end = file_values(WHOLE[:-100], SPEC, "inputs[0].wav")
    assert len(found) == len(TONE) - 50
    assert early_end == "the file says that it has 16000 bytes of sound, 15900 are there"
    assert file_values(WHOLE, SPEC, "inputs[0].wav")[1] is None
