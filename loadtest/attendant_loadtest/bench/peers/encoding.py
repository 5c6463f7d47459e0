"""Encoders over gRPC at mixed lengths, against OpenVINO in int8 and padded batches of plain ONNX Runtime in float32."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from attendant.bundle import EncoderManifest, read_any_manifest
from tokenizers import Tokenizer

from attendant_loadtest.bench.encoders_bundles import MODELS, TASKS, bench_encoder
from attendant_loadtest.bench.encoders_in_process import BareSession, PaddedBatcher
from attendant_loadtest.bench.encoders_measurement import Encoded
from attendant_loadtest.bench.encoders_padded import padded_session
from attendant_loadtest.bench.encoders_served import served_encoder
from attendant_loadtest.bench.encoders_workload import Texts, mixed_lengths
from attendant_loadtest.bench.environments import PeerFailed, convert
from attendant_loadtest.bench.measurement import Bystanders, Measurement, wait_until_quiet
from attendant_loadtest.bench.peers.kinds import OPENVINO
from attendant_loadtest.bench.peers.table import OURS, Aim, Row, row
from attendant_loadtest.bench.processes import Answering, Ended, answering

_SCRIPT = str(Path(__file__).with_name("encoders.py"))
_SHORTEST, _LONGEST = 8, 512
_PLAIN_ROWS, _PLAIN_TOKENS = 64, 4096
_QUIET = 0.1
_SORTED, _IN_ORDER = "openvino-int8, sorted", "openvino-int8, in order"


@dataclass(frozen=True, slots=True)
class Contest:
    """``clients`` calls at a time, ``rows`` of them in a measurement. ``batches``: the peer's; its fastest counts."""

    models: tuple[str, ...] = MODELS
    repeats: int = 5
    patience_s: float = 10.0
    clients: int = 64
    rows: int = 192
    batches: tuple[int, ...] = (4, 16)


def compare(contest: Contest, cache: Path, progress: Callable[[str], None]) -> list[Row]:
    """Measures all ways in turn, model by model, over the same weights.

    Raises:
        BundleNotMade, ServerFailed, PeerFailed: what did not work, and why.
    """
    return [found for model in contest.models for found in _compare(contest, model, cache, progress)]


def _compare(contest: Contest, model: str, cache: Path, progress: Callable[[str], None]) -> list[Row]:
    threads = len(os.sched_getaffinity(0))
    progress(f"{model}: loading")
    bundles = {precision: bench_encoder(cache, model, precision) for precision in ("fp32", "int8")}
    manifest = read_any_manifest(bundles["fp32"])
    assert isinstance(manifest, EncoderManifest)
    texts = Texts(Tokenizer.from_file(str(bundles["fp32"] / "tokenizer.json")))
    with ExitStack() as stack:
        server = stack.enter_context(served_encoder(bundles["int8"], TASKS[model]))
        plain = PaddedBatcher(
            BareSession(padded_session(bundles["fp32"], manifest, threads), manifest), _PLAIN_ROWS, _PLAIN_TOKENS
        )
        progress(f"{model}: OpenVINO, installed and converted first where that has not been done")
        peer = stack.enter_context(_openvino(cache, model, threads))
        pids = (os.getpid(), *server.pids, peer.pid)

        def ways(seed: int) -> dict[str, Callable[[], Encoded]]:
            asked = texts.of_lengths(mixed_lengths(contest.rows, _SHORTEST, _LONGEST, seed), seed)
            ids = [texts.ids(text) for text in asked]
            return {
                f"{OURS} int8": lambda: server.measure(asked, contest.clients),
                _SORTED: lambda: _best([_run(peer, ids, contest.clients, size, True) for size in contest.batches]),
                _IN_ORDER: lambda: _best([_run(peer, ids, contest.clients, size, False) for size in contest.batches]),
                "onnxruntime-fp32": lambda: plain.measure(ids, contest.clients),
            }

        for way in ways(0).values():
            way()
        rounds: dict[str, list[Measurement]] = {}
        for number in range(contest.repeats):
            for name, measure in ways(number + 1).items():
                wait_until_quiet(pids, _QUIET, contest.patience_s)
                bystanders = Bystanders(pids)
                found = measure()
                found = replace(found, others=bystanders.cores())
                progress(f"round {number + 1}/{contest.repeats}, {model}, {name}: {found.per_s:.1f} sequences/s")
                rounds.setdefault(name, []).append(
                    Measurement(found.sequences, found.tokens, found.wall_s, found.others)
                )
    what = f"{model}: sequences/s, {_SHORTEST} to {_LONGEST} tokens, {contest.clients} clients"
    aims = {_SORTED: Aim(1.3), _IN_ORDER: Aim(1.3), "onnxruntime-fp32": Aim(2.5)}
    ours = f"{OURS} int8"
    return [
        row(what, {way: rounds[way] for way in (ours, peer_name)}, lambda m: m.tokens_per_s, aim, _QUIET)
        for peer_name, aim in aims.items()
    ]


def _best(found: list[Encoded]) -> Encoded:
    return max(found, key=lambda one: one.per_s)


def _run(peer: Answering, ids: list[list[int]], waiting: int, batch: int, sort: bool) -> Encoded:
    try:
        wall_s = peer.ask({"rows": ids, "waiting": waiting, "batch": batch, "sort": sort})["wall_s"]
    except Ended:
        raise PeerFailed("OpenVINO ended early; its error is above") from None
    return Encoded(len(ids), sum(map(len, ids)), wall_s, [])


@contextmanager
def _openvino(cache: Path, model: str, threads: int) -> Iterator[Answering]:
    python = OPENVINO.python(cache / "peers")
    made = cache / "peers" / "models" / f"{model}-openvino-int8.xml"
    convert((str(python), _SCRIPT, "convert", str(cache / f"{model}-source"), str(made)), made)
    with answering((str(python), _SCRIPT, str(made), str(threads))) as process:
        yield process
