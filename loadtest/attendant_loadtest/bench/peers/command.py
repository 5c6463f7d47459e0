"""``python -m attendant_loadtest.bench peers``, or ``make bench PEERS=1``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from attendant_loadtest.bench.arguments import add_rounds, end_on_sigterm, numbers, some_of
from attendant_loadtest.bench.bundles import BundleNotMade
from attendant_loadtest.bench.encoders_bundles import MODELS
from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.peers import encoding
from attendant_loadtest.bench.peers.decoding import PRECISIONS, Contest, compare
from attendant_loadtest.bench.peers.kinds import DEFAULT, KINDS
from attendant_loadtest.bench.peers.table import table
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.bench.rounds import on_stderr


def main(words: Sequence[str], cache: Path) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error."""
    args = _parser(cache).parse_args(words)
    end_on_sigterm()
    contest = Contest(
        args.precisions,
        args.peers,
        args.concurrency,
        args.repeats,
        args.patience,
        args.arriving,
        whole=not args.streamed,
    )
    try:
        rows = compare(contest, args.bundle_cache, on_stderr) if args.peers else []
        if args.models:
            encoders = encoding.Contest(args.models, args.repeats, args.patience)
            rows += encoding.compare(encoders, args.bundle_cache, on_stderr)
    except (BundleNotMade, ServerFailed, PeerFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(rows))
    if args.out:
        figures = {"contest": asdict(contest), "rows": [asdict(found) for found in rows]}
        args.out.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 0


def _parser(cache: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.bench peers",
        description="Our server over gRPC against peers in process, over the same weights: 128 prompt tokens to 64 new "
        "ones, all requests at once, measured in turn.",
    )
    add = parser.add_argument
    add(
        "--models",
        type=some_of(MODELS),
        default=MODELS,
        help=f"that encode, of {', '.join(MODELS)} or none (default: all)",
    )
    add("--precisions", type=some_of(PRECISIONS), default=PRECISIONS[1:], help="ours (default: all but fp32)")
    add("--peers", type=some_of(tuple(KINDS)), default=DEFAULT, help=f"of {', '.join(KINDS)} or none (default: most)")
    add("--concurrency", type=numbers, default=(1, 4, 8, 16), help="requests at once (default: 1,4,8,16)")
    add_rounds(parser)
    add("--arriving", type=int, default=48, help="requests that arrive one by one; 0: leave that out (default: 48)")
    add("--streamed", action="store_true", help="our server sends every token as it comes, not whole answers")
    add("--bundle-cache", type=Path, default=cache, help="where bundles and peers are kept (default: %(default)s)")
    return parser
