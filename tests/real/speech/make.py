"""Speaks the tables of sentences into the OGG/Opus files beside them: the tests' and the exporter's two samples.

Usage: python tests/real/speech/make.py (needs espeak-ng 1.51 and flite 2.2 on the path). The recordings are committed;
this is how they were made. The tests, calibration and verification have speakers and sentences of their own.
"""

import csv
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
SAMPLES = HERE.parents[2] / "export/attendant_export/samples"
RATE = 16_000
PAUSE_S = 0.3
WORDS_A_MINUTE = 150
COMPRESSION = 0.9  # of Opus, by libsndfile's scale of 0 to 1: about 32 kbit/s
LOUDEST = 0.75


def spoken(speaker: str, stretch: float, text: str) -> np.ndarray:
    """`text` by `speaker` ("espeak:VOICE" or "flite:VOICE"), `stretch` times as slow: [num_samples] float32."""
    program, voice = speaker.split(":")
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        if program == "espeak":
            command = ["espeak-ng", "-v", voice, "-s", str(round(WORDS_A_MINUTE / stretch)), "-w", wav.name, text]
        else:
            command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-t", text, "-o", wav.name]
        subprocess.run(command, check=True)
        samples, rate = soundfile.read(wav.name, dtype="float32")
    return resampled(samples, rate) * np.float32(LOUDEST / np.abs(samples).max())


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """`samples` at 16 kHz; what is above 8 kHz is cut off: [num_samples] float32."""
    length = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * length / len(samples)).astype(np.float32)


def write(path: Path, samples: np.ndarray) -> None:
    """Stores `samples` ([num_samples] float32 at 16 kHz) as mono OGG/Opus."""
    soundfile.write(path, samples, RATE, format="OGG", subtype="OPUS", compression_level=COMPRESSION)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a table of sentences."""
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def main() -> None:
    """Makes every recording of the repository again."""
    for row in table(HERE / "sentences.tsv"):
        write(HERE / row["file"], spoken(row["speaker"], float(row["stretch"]), row["text"]))
    pause = np.zeros(int(PAUSE_S * RATE), np.float32)
    for path in sorted(SAMPLES.glob("*.tsv")):
        parts: list[np.ndarray] = []
        for row in table(path):
            parts += [spoken(row["speaker"], float(row["stretch"]), row["text"]), pause]
        write(path.with_suffix(".ogg"), np.concatenate(parts))


if __name__ == "__main__":
    main()
