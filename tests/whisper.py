"""A tiny Whisper of random weights, exported once for all tests of a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.shared import copy_of


def make_whisper_bundle(out: Path) -> Path:
    """Write a bundle named ``whisper`` to ``out``, which does not exist yet, and return it."""

    def make(folder: Path) -> None:
        from attendant_export.cli import main

        from tests.export.seq2seq_families import make_model, save_folder

        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "whisper"
            save_folder("whisper", source, make_model("whisper"))
            assert main([str(source), str(folder)]) == 0

    return copy_of("tiny whisper", make, out)
