"""``python -m attendant_loadtest.bench peers``, or ``make bench PEERS=1``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attendant_loadtest.bench.arguments import add_rounds, end_on_sigterm, numbers, some_of
from attendant_loadtest.bench.bundles import BundleNotMade
from attendant_loadtest.bench.encoders_bundles import MODELS
from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.peers import encoding, long, readings
from attendant_loadtest.bench.peers.contestants import RANDOM, SMOLLM2, Model, random_model, trained_model
from attendant_loadtest.bench.peers.decoding import PRECISIONS, TRAINED, Contest
from attendant_loadtest.bench.peers.generation import Plan, stand
from attendant_loadtest.bench.peers.judge import PROSE
from attendant_loadtest.bench.peers.kinds import DEFAULT, KINDS
from attendant_loadtest.bench.peers.long import LongContest
from attendant_loadtest.bench.peers.standing import Standing
from attendant_loadtest.bench.peers.standing_text import tables
from attendant_loadtest.bench.peers.table import table
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.bench.rounds import on_stderr


def main(words: Sequence[str], cache: Path) -> int:
    """Measure, print the tables, and return the exit code: 0, or 1 with the cause on standard error."""
    args = _parser(cache).parse_args(words)
    end_on_sigterm()
    found: dict[str, Any] = {}
    try:
        plan = _plan(args)
        for model in _decoders(args):
            kind = "long" if args.long else "rounds"
            before = [one for file in args.add for one in readings.read(file, model.name, kind)]
            standing = stand(plan, model, args.bundle_cache, before, on_stderr)
            print(f"{model.name}\n\n{tables(standing)}\n", flush=True)
            found[model.name] = _as_json(standing) | {kind: readings.as_json(standing.rounds)}
        if args.models and not args.long:
            encoders = encoding.Contest(args.models, args.repeats, args.patience)
            rows = encoding.compare(encoders, args.bundle_cache, on_stderr)
            print(table(rows))
            found["encoders"] = [asdict(row) for row in rows]
    except (BundleNotMade, ServerFailed, PeerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.out:
        args.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    contest = Contest(
        args.concurrency,
        args.repeats,
        args.patience,
        args.arriving,
        args.per_s,
        whole=not args.streamed,
    )
    peers = args.peers or (long.PEERS if args.long else DEFAULT)
    precisions = args.precisions or (("int8",) if args.long else ())
    return Plan(
        precisions,
        peers,
        contest,
        LongContest(args.long, args.repeats, args.patience) if args.long else None,
        args.text,
        args.fresh,
        args.batched_tokens,
    )


def _decoders(args: argparse.Namespace) -> list[Model]:
    made: list[Model] = []
    for name in args.decoders if not args.long else [name for name in args.decoders if name != RANDOM]:
        random = name == RANDOM
        made.append(random_model(args.bundle_cache) if random else trained_model(args.bundle_cache, args.checkpoint))
    return made


def _as_json(standing: Standing) -> dict[str, Any]:
    return {
        "ways": [asdict(way) for way in standing.ways],
        "medians": {
            way.name: {measure: standing.figure(way, measure) for measure in standing.aims} for way in standing.ways
        },
        "comparisons": [asdict(one) | {"met": one.met} for one in standing.comparisons()],
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _files(text: str) -> tuple[Path, ...]:
    return tuple(map(Path, text.split(",")))


def _parser(cache: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.bench peers",
        description="Our server over gRPC against peers in process, over the same weights: how far each is from the "
        "model in float32, and 128 prompt tokens to 64 new ones, all requests at once, measured in turn. Ratios are "
        "between rows of like fidelity.",
    )
    add = parser.add_argument
    add(
        "--decoders",
        type=some_of((RANDOM, SMOLLM2)),
        default=(RANDOM, SMOLLM2),
        help="of random, smollm2 or none (default: both)",
    )
    add("--checkpoint", type=Path, help="a trained model's folder, in place of SmolLM2's")
    add(
        "--models",
        type=some_of(MODELS),
        default=MODELS,
        help=f"that encode, of {', '.join(MODELS)} or none (default: all)",
    )
    ours = f"{','.join(TRAINED)}; of random weights {','.join(PRECISIONS)}"
    add("--precisions", type=_names, help=f"ours, as attendant export knows them (default: {ours})")
    add("--peers", type=some_of(tuple(KINDS)), help=f"of {', '.join(KINDS)} (default: most)")
    add("--text", type=Path, default=PROSE, help="what distributions are compared on (default: prose of our own)")
    add("--fresh", action="store_true", help="export our bundles again")
    add("--concurrency", type=numbers, default=(1, 4, 8, 16), help="requests at once (default: 1,4,8,16)")
    add_rounds(parser)
    add("--arriving", type=int, default=48, help="requests that arrive one by one; 0: leave that out (default: 48)")
    add("--per-s", type=float, help="how many arrive a second (default: .7 of what the fastest peer can do)")
    add("--streamed", action="store_true", help="our server sends every token as it comes, not whole answers")
    add(
        "--long",
        type=numbers,
        nargs="?",
        const=long.DEPTHS,
        help="lone prompts of many tokens instead: how fast they are, and decoding behind them (2000,4000,8000)",
    )
    add("--batched-tokens", type=int, help="of a step of our servers (default: 2048, as the peers')")
    add("--add", type=_files, default=(), help="files that earlier runs wrote with --out: their rounds count, too")
    add("--bundle-cache", type=Path, default=cache, help="where bundles and peers are kept (default: %(default)s)")
    return parser
