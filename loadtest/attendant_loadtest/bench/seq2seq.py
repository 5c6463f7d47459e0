"""``python -m attendant_loadtest.bench seq2seq``: a translator of opus-mt's shape, against peers in process."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from attendant_loadtest.bench.arguments import add_rounds, end_on_sigterm, numbers, some_of
from attendant_loadtest.bench.bundles import BundleNotMade, export, make_source
from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.measurement import Measurement
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.bench.rounds import Measurable, Plan, Results, Rounds, on_stderr
from attendant_loadtest.bench.seq2seq_peers import PEERS, peer
from attendant_loadtest.bench.seq2seq_source import PAD
from attendant_loadtest.bench.served import served

PRECISIONS = ("fp32", "int8")


def main(words: Sequence[str], cache: Path) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error."""
    args = _parser(cache).parse_args(words)
    end_on_sigterm()
    plan = Plan(
        args.concurrency,
        args.repeats,
        args.waves,
        prompt_tokens=40,
        new_tokens=30,
        shortest=10,
        whole=True,
        patience_s=args.patience,
    )
    try:
        results = _measure(args.bundle_cache, plan, args.precisions, args.peers)
    except (BundleNotMade, ServerFailed, PeerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    ways = list(dict.fromkeys(way for _, way in results))
    print(table(results, plan, ways))
    if args.out:
        figures = [
            {"concurrency": concurrency, "way": way, "rounds": [asdict(found) for found in measured]}
            for (concurrency, way), measured in results.items()
        ]
        args.out.write_text(json.dumps({"plan": asdict(plan), "figures": figures}, indent=1), encoding="utf-8")
    return 0


def bench_translator(cache: Path, precision: str) -> Path:
    """The bundle of a precision in ``cache``; made first if it is not there, which takes a minute.

    Raises:
        BundleNotMade: the exporter failed.
    """
    bundle, source = cache / f"opus-mt-{precision}", source_folder(cache)
    if not (bundle / "bundle.json").exists():
        make_source(source, "seq2seq_source")
        export(source, bundle, "--precision", precision)
    return bundle


def source_folder(cache: Path) -> Path:
    """Where the model in the Hugging Face format is."""
    return cache / "opus-mt-source"


def table(results: Results, plan: Plan, ways: Sequence[str]) -> str:
    """Generated tokens a second, medians; and of each of ours to each peer the median of the rounds' ratios."""
    ours, peers = [way for way in ways if way not in PEERS], [way for way in ways if way in PEERS]
    pairs = [(one, other) for one in ours for other in peers]
    lines = [["requests", *ways, *(f"{one} / {other}" for one, other in pairs)]]
    lines.append(["---"] * len(lines[0]))
    for concurrency in plan.concurrency:
        rates = {way: [found.tokens_per_s for found in _quiet(results, plan, concurrency, way, ways)] for way in ways}
        ratios = [
            statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True)) for one, other in pairs
        ]
        cells = [f"{statistics.median(rates[way]):.0f}" for way in ways]
        lines.append([str(concurrency), *cells, *(f"{ratio:.2f}" for ratio in ratios)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _quiet(results: Results, plan: Plan, concurrency: int, way: str, ways: Sequence[str]) -> list[Measurement]:
    """A way's measurements in rounds that foreign processes left alone, if there were any."""
    rounds = range(len(results[concurrency, way]))
    quiet = [n for n in rounds if max(results[concurrency, one][n].others for one in ways) <= plan.quiet]
    return [results[concurrency, way][n] for n in quiet or rounds]


def _measure(cache: Path, plan: Plan, precisions: Sequence[str], peers: Sequence[str]) -> Results:
    most = max(plan.concurrency)
    with ExitStack() as stack:
        ways: dict[str, Measurable] = {}
        pids = [os.getpid()]
        for precision in precisions:
            on_stderr(f"{precision}: loading")
            bundle = bench_translator(cache, precision)
            server = stack.enter_context(served(bundle, ("--engine.max-num-seqs", str(most))))
            ways[f"attendant {precision}"] = server
            pids += server.pids
        threads = len(os.sched_getaffinity(0))
        for kind in peers:
            on_stderr(f"{kind}: starting")
            running = stack.enter_context(peer(kind, source_folder(cache), cache / "peers", threads))
            ways[kind] = running
            pids.append(running.pid)
        return Rounds(plan, PAD, pids).run(ways, on_stderr)


def _parser(cache: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.bench seq2seq",
        description="Generated tokens a second of a translator (6 + 6 layers, 512 wide, random weights, sources of 10 "
        "to 40 tokens to answers of 30) over gRPC, and of peers in process, measured in turn.",
    )
    add = parser.add_argument
    add("--precisions", type=some_of(PRECISIONS), default=("int8",), help="of fp32, int8 (default: int8)")
    add("--peers", type=some_of(PEERS), default=(), help=f"of {', '.join(PEERS)}: installed beside the bundles")
    add("--concurrency", type=numbers, default=(1, 8, 32), help="requests at a time (default: 1,8,32)")
    add_rounds(parser)
    add("--waves", type=int, default=4, help="requests of a measurement per concurrency (default: 4)")
    add("--bundle-cache", type=Path, default=cache, help="where bundles are kept (default: %(default)s)")
    return parser
