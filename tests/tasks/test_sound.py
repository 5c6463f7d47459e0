"""Recordings piece by piece: WAV and FLAC, any rate, any cuts, and what is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import soundfile
from attendant.core.errors import InvalidRequest
from attendant.tasks.resample import Resampler, resample
from attendant.tasks.sound import Converter, SoundFile, check_pcm16, from_pcm16
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.test_audio import wav

RATE = 16_000
LIMIT_S = 60.0
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(25 * RATE) / RATE)
TOTAL = 8 + 13  # of a FLAC file's bytes, where the number of samples begins, in the lower half of a byte


def flac(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype=subtype)
    return file.getvalue()


def read(data: bytes, target: int = RATE, limit_s: float = LIMIT_S) -> np.ndarray:
    file = SoundFile(data, target, limit_s, "file")
    parts = []
    while (part := file.read()) is not None:
        parts.append(part)
    assert file.read() is None
    return np.concatenate(parts)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_flac_is_decoded_without_loss(subtype: str) -> None:
    found = read(flac(TONE, subtype=subtype))
    assert found.dtype == np.float32
    assert np.abs(found - TONE).max() < 1e-4
    assert (read(flac(found, subtype=subtype)) == found).all()


@pytest.mark.parametrize("make", [flac, lambda samples: wav(samples, "f4", channels=2)])
def test_channels_are_averaged(make: object) -> None:
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    assert np.abs(read(make(stereo)) - TONE / 2).max() < 1e-4  # type: ignore[operator]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 11_025, 44_101])
def test_other_rates_are_resampled_as_a_whole_would_be(rate: int) -> None:
    samples = (0.1 * np.random.default_rng(rate).standard_normal(int(21.3 * rate))).astype(np.float32)
    found = read(wav(samples, "f4", rate))
    expected = resample(samples.astype(np.float64), rate, RATE)
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() < 1e-6


def test_odd_rates_are_as_exact_as_they_can_be_heard() -> None:
    rate, hertz = 44_101, 3_000.0
    given_ = np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
    expected = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    assert np.abs(resample(given_, rate, RATE) - expected)[200:-200].max() < 2e-5


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([(8, 16), (44, 16), (48, 16), (16, 48), (7, 5), (16, 16), (3, 7)]),
    st.lists(st.integers(0, 300), min_size=1, max_size=8),
)
def test_pieces_give_what_the_whole_gives(rates: tuple[int, int], sizes: list[int]) -> None:
    signal = np.random.default_rng(0).standard_normal(sum(sizes))
    resampler = Resampler(*rates)
    cuts = np.cumsum(sizes)[:-1]
    parts = [resampler.push(part) for part in np.split(signal, cuts)]
    found = np.concatenate([*parts, resampler.finish()])
    expected = resample(signal, *rates)
    assert len(found) == len(expected)
    assert np.abs(found - expected).max(initial=0.0) < 1e-9


def test_a_flac_file_need_not_say_how_long_it_is() -> None:
    data = bytearray(flac(TONE))
    data[TOTAL] &= 0xF0
    data[TOTAL + 1 : TOTAL + 5] = bytes(4)
    assert len(read(bytes(data))) == len(TONE)
    with pytest.raises(InvalidRequest, match=r"file is longer than allowed: .*; allowed: 15 s"):
        read(bytes(data), limit_s=15)


def longer(data: bytes) -> bytes:
    """A FLAC file that says it has more samples."""
    changed = bytearray(data)
    changed[TOTAL + 1 : TOTAL + 5] = (len(TONE) + 1000).to_bytes(4, "big")
    return bytes(changed)


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\x55" * 2000 + data[len(data) // 2 + 2000 :]


NOISY = TONE.astype(np.float32).copy()
NOISY[len(NOISY) // 2] = np.nan


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "file is empty; allowed: a WAV, FLAC, OGG, MP3"),
        (b"ID3\x04 not this one", r"file is (of no known format|a file) \(17 bytes\).*; allowed: a WAV, FLAC"),
        (b"OggS" + bytes(100), "file is (of no known format|a file.* that cannot be decoded)"),
        (b"RIFF", "file is (of no known format|a file.* that cannot be decoded)"),
        (b"fLaC", "file is (of no known format|a file.* that cannot be decoded)"),
        (flac(TONE)[:30], "file is (of no known format|a file.* that cannot be decoded)"),
        (flac(TONE)[:100], "file is (of no known format|a file.* that cannot be decoded)"),
        (wav(np.zeros(0)), "file has no sound; allowed: at least one sample"),
        (wav(TONE, rate=1000), "file has a sampling rate of 1000 Hz; allowed: 4000 to 384000 Hz"),
        (flac(TONE, 655_350), "file has a sampling rate of 655350 Hz"),
        (wav(np.tile(TONE, 3)), r"file is longer than allowed: 75.0 s; allowed: 60 s \(speech.max_duration_s\)"),
        (flac(np.tile(TONE, 3)), "file is longer than allowed: 75.0 s"),
        (wav(NOISY, "f4"), "file has a sample that is infinite or not a number"),
        (wav(np.where(TONE > 0.4, np.inf, TONE), "f4"), "file has a sample that is infinite"),
        (wav(1e6 * TONE, "f4"), "file has a sample of magnitude 500000"),
    ],
)
def test_what_cannot_be_used_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{words}"):
        read(data)


@cache
def tone_as(kind: str, subtype: str | None = None) -> bytes:
    """The tone as a file of a kind: some are slow to write."""
    return opened(kind, TONE, subtype)


def opened(kind: str, samples: np.ndarray, subtype: str | None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *(("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "PCM_24", "DOUBLE")),
        *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", None), ("AIFF", "ULAW"), ("W64", None)),
        *(("RF64", None), ("AU", None), ("CAF", None), ("WAVEX", "FLOAT")),
    ],
)
def test_what_libsndfile_reads_is_read(kind: str, subtype: str | None) -> None:
    found = read(opened(kind, TONE[: 3 * RATE], subtype))
    wanted = soundfile.read(io.BytesIO(opened(kind, TONE[: 3 * RATE], subtype)))[0]
    assert len(found) == len(wanted)
    assert np.abs(found - wanted).max() < 1e-6


PCM = (TONE[:RATE] * 32767).astype("<i2").tobytes()


def header(size: int, riff: int | None = None) -> bytes:
    """Of a WAV file that says it has ``size`` bytes of samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", size if riff is None else riff) + b"WAVE" + form + b"data" + struct.pack("<I", size)
    )


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 2_000_000_000, 0])
def test_sizes_that_stand_for_unknown_ones(size: int) -> None:
    file = SoundFile(header(size) + PCM, RATE, LIMIT_S, "file")
    assert len(read(header(size) + PCM)) == len(read(header(size, 36) + PCM)) == RATE
    assert file.early_end is None


def test_samples_of_no_length_with_more_behind_them_are_none() -> None:
    with pytest.raises(InvalidRequest, match="has no sound"):
        read(header(0) + b"LIST" + struct.pack("<I", 4) + b"INFO")


@pytest.mark.parametrize(
    ("make", "least", "words"),
    [
        (lambda: wav(TONE)[:-5000], 24.8, "says that it has 800000 bytes of sound, 795000 are there"),
        (lambda: wav(TONE)[:-5001], 24.8, "says that it has 800000 bytes of sound"),
        (lambda: flac(TONE)[: len(flac(TONE)) // 2], 10, "is broken: flac decoder lost sync"),
        (lambda: damaged(flac(TONE)), 10, "is broken: flac decoder lost sync"),
        (lambda: longer(flac(TONE)), 25, "says that it has 401000 samples, 400000 are there"),
        (lambda: tone_as("OGG", "VORBIS")[:-400], 10, "ends within its last page"),
        (lambda: tone_as("OGG", "OPUS")[:-3000], 10, "ends within its last page"),
        (lambda: tone_as("AIFF")[:-20000], 24, "says that it has"),
        (lambda: tone_as("RF64")[:-20000], 24, "says that it has"),
        (lambda: tone_as("WAV", "ULAW")[:-20000], 23, "says that it has 400000 bytes of sound, 380000 are there"),
        (lambda: tone_as("MP3")[: len(tone_as("MP3")) // 2], 5, "says that it has"),
    ],
)
def test_a_file_that_ends_early_gives_what_it_has_and_says_so(
    make: Callable[[], bytes], least: float, words: str
) -> None:
    file = SoundFile(make(), RATE, LIMIT_S, "file")
    parts = []
    while (part := file.read()) is not None:
        parts.append(part)
    found = np.concatenate(parts)
    assert len(found) >= least * RATE
    assert np.abs(found - TONE[: len(found)]).mean() < 0.02
    assert file.early_end is not None
    assert words in file.early_end


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "W64", "MP3", "CAF"])
def test_whole_files_say_nothing(kind: str) -> None:
    file = SoundFile(tone_as(kind), RATE, LIMIT_S, "file")
    while file.read() is not None:
        pass
    assert file.early_end is None


def test_a_long_file_is_never_in_memory_as_a_whole() -> None:
    data = flac(np.zeros(20 * 60 * RATE, np.int16))
    tracemalloc.start()
    file = SoundFile(data, RATE, 3600, "file")
    total = 0
    while (part := file.read()) is not None:
        total += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 20 * 60 * RATE
    assert peak < 10_000_000  # it has 77 MB


def test_raw_samples() -> None:
    assert from_pcm16(b"\x00\x80\x00\x40").tolist() == [-1.0, 0.5]
    with pytest.raises(InvalidRequest, match=r"raw.pcm16 has 3 bytes; allowed: 16-bit samples"):
        check_pcm16(b"abc", "raw.pcm16")
    with pytest.raises(InvalidRequest, match=r"raw.sampling_rate has a sampling rate of 0 Hz"):
        Converter(0, RATE, LIMIT_S, "raw.pcm16", "raw.sampling_rate")
