"""Peers of the encoder-decoder benchmark as ways of running a workload: each a process in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendant_loadtest.bench import seq2seq_peer
from attendant_loadtest.bench.environments import PeerFailed, install
from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.processes import Answering, Ended, answering
from attendant_loadtest.bench.workload import Workload

PEERS = ("ctranslate2", "transformers")
EOS = 0
_STEPS = (("torch==2.13.0",), ("transformers==5.23.0", "ctranslate2==4.8.5"))


class Peer:
    """A running peer. Make one with :func:`peer`."""

    def __init__(self, process: Answering) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def measure(self, workload: Workload) -> Measurement:
        """All requests at once, in batches of ``concurrency``.

        Raises:
            PeerFailed: it has ended.
        """
        sources = [[*prompt, EOS] for prompt in workload.prompts()]
        asked = {"sources": sources, "batch": workload.concurrency, "new_tokens": workload.new_tokens}
        try:
            found = self._process.ask(asked)
        except Ended:
            raise PeerFailed("the peer ended early; its error is above") from None
        assert found["generated"] == workload.num_requests * workload.new_tokens, "every answer has its full length"
        return Measurement(found["generated"], sum(map(len, sources)), found["wall_s"])


@contextmanager
def peer(kind: str, source: Path, environment: Path, threads: int) -> Iterator[Peer]:
    """Start a peer with the model of folder ``source``; installs it first if ``environment`` is not there.

    Raises:
        PeerFailed: says what went wrong.
    """
    python = install(environment, _STEPS, "lib/python*/site-packages/ctranslate2")
    model = source if kind == "transformers" else _converted(python, source)
    command = [str(python), seq2seq_peer.__file__, kind, str(model), str(threads)]
    with answering(command, {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}) as process:
        yield Peer(process)


def _converted(python: Path, source: Path) -> Path:
    out = source.with_name(f"{source.name}-ctranslate2")
    if not (out / "model.bin").exists():
        shutil.rmtree(out, ignore_errors=True)
        done = subprocess.run(
            [str(python), seq2seq_peer.__file__, "convert", str(source), str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeerFailed(f"CTranslate2 cannot convert {source}: {done.stderr.strip()[-500:]}")
    return out
