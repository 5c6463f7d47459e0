"""Peers of the encoder-decoder benchmark as ways of running a workload: each a process in an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attendant_loadtest.bench import seq2seq_peer
from attendant_loadtest.bench.environments import convert
from attendant_loadtest.bench.peers.kinds import TRANSFORMERS
from attendant_loadtest.bench.peers.process import Peer
from attendant_loadtest.bench.processes import answering

PEERS = ("ctranslate2", "transformers")
EOS = 0


@contextmanager
def peer(kind: str, source: Path, folder: Path, threads: int) -> Iterator[Peer]:
    """Start a peer with the model of folder ``source``; installs it in ``folder`` first if it is not there.

    Raises:
        PeerFailed: says what went wrong.
    """
    python = TRANSFORMERS.python(folder)
    model = source if kind == "transformers" else _converted(python, source)
    command = [str(python), seq2seq_peer.__file__, kind, str(model), str(threads)]
    with answering(command, {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}) as process:
        yield Peer(process, [EOS])


def _converted(python: Path, source: Path) -> Path:
    out = source.with_name(f"{source.name}-ctranslate2")
    return convert((str(python), seq2seq_peer.__file__, "convert", str(source), str(out)), out)
