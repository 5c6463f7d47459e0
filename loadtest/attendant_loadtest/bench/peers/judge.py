"""Measures the fidelity of every row, once: what was found is kept as long as model, text and settings are the same."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.peers import forced
from attendant_loadtest.bench.peers.fidelity import Fidelity, Tally, following, windows
from attendant_loadtest.bench.peers.kinds import Made
from attendant_loadtest.bench.processes import Answering, Ended, answering

Array = npt.NDArray[Any]

PROSE = Path(__file__).with_name("prose.txt")
_ROOM = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Judged:
    """The fidelity of a row: of prompts, and of tokens that are computed one by one; None: not measured apart."""

    prompt: Fidelity | None
    decode: Fidelity | None = None


class Judge:
    """Compares with the reference's logits on one text, which are made here, in ``folder``, where they are not yet.

    Args:
        source: the model folder, for its tokenizer.
        reference: the peer whose distributions are the right ones.

    Raises:
        PeerFailed: the reference does not run, or the text is too short.
    """

    def __init__(
        self, source: Path, text: Path, reference: Made, folder: Path, progress: Callable[[str], None]
    ) -> None:
        tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        try:
            self._tokens = windows(tokenizer.encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids)
        except (OSError, ValueError) as error:
            raise PeerFailed(f"{text}: {error}") from None
        self._folder = folder
        self._progress = progress
        folder.mkdir(parents=True, exist_ok=True)
        self._reference = folder / f"reference-{self._key(reference.files, *reference.kind.measures)}.npy"
        if not self._reference.exists():
            for old in folder.glob("reference-*"):
                old.unlink()
            progress("the reference: logits of the whole text in float32")
            self._write_reference(reference)

    @property
    def num_tokens(self) -> int:
        """The number of tokens of the text that is used."""
        return self._tokens.size

    def of_peer(self, name: str, made: Made) -> Judged:
        """Judges a peer.

        Raises:
            PeerFailed: it has ended.
        """

        def measure() -> Judged:
            tally = Tally()
            reference = np.load(self._reference, mmap_mode="r")
            with made.giving_logits(_threads()) as process:
                for number, window in enumerate(self._tokens):
                    tally.add(reference[number], _logits(process, window), following(window))
            found = tally.fidelity()
            return Judged(None, found) if made.kind.one_by_one else Judged(found)

        return self._kept(name, self._key(made.files, *made.kind.measures, "fidelity.py"), measure)

    def of_bundle(self, name: str, bundle: Path) -> Judged:
        """Ours, of both kinds of runs. In a process of its own, so that its memory is given back."""

        def measure() -> Judged:
            with answering((sys.executable, "-m", forced.__name__, str(bundle))) as process:
                try:
                    found = process.ask({"windows": self._tokens.tolist(), "reference": str(self._reference)})
                except Ended:
                    raise PeerFailed(f"{bundle} does not run; its error is above") from None
            return _judged(found)

        return self._kept(name, self._key(sorted(bundle.glob("*.onnx*")), "forced.py", "fidelity.py"), measure)

    def _kept(self, name: str, key: str, measure: Callable[[], Judged]) -> Judged:
        file = self._folder / f"{name.replace(' ', '-')}-{key}.json"
        if not file.exists():
            self._progress(f"{name}: fidelity")
            file.write_text(json.dumps(asdict(measure())), encoding="utf-8")
        return _judged(json.loads(file.read_text(encoding="utf-8")))

    def _key(self, files: Sequence[Path], *programs: str) -> str:
        """Changes with the text, the model's files and the programs that measure; not with where they are."""
        contents = [*files, *(_ROOM / program for program in programs)]
        found = [(file.name, _digest(file)) for file in contents]
        return hashlib.sha256(repr((self._tokens.tolist(), found)).encode()).hexdigest()[:12]

    def _write_reference(self, made: Made) -> None:
        half = self._reference.with_suffix(".half")
        with made.giving_logits(_threads()) as process:
            table: Array | None = None
            for number, window in enumerate(self._tokens):
                logits = _logits(process, window)
                if table is None:
                    shape = (*self._tokens.shape, logits.shape[1])
                    table = np.lib.format.open_memmap(half, mode="w+", dtype=np.float32, shape=shape)
                table[number] = logits
        half.rename(self._reference)


def _logits(process: Answering, window: Array) -> Array:
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        try:
            process.ask({"tokens": window.tolist(), "out": file.name})
        except Ended:
            raise PeerFailed("the peer gave no logits; its error is above") from None
        logits: Array = np.load(file.name)
    return logits


def _judged(found: dict[str, dict[str, float] | None]) -> Judged:
    prompt, decode = found["prompt"], found["decode"]
    return Judged(Fidelity(**prompt) if prompt else None, Fidelity(**decode) if decode else None)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _threads() -> int:
    """As many as the processes that measure may use: those of the machine, or fewer where its user says so."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
