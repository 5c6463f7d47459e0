"""``python -m attendant_loadtest.bench.encoders``: the server of models that encode, against bare ONNX Runtime and
against padded batching."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attendant.core.errors import ConfigurationError

from attendant_loadtest.bench import encoders_report as report
from attendant_loadtest.bench.arguments import add_rounds, end_on_sigterm, some_of
from attendant_loadtest.bench.bundles import BundleNotMade
from attendant_loadtest.bench.encoders_bundles import MODELS, PRECISIONS, TASKS, bench_encoder
from attendant_loadtest.bench.encoders_peers import Infinity, infinity
from attendant_loadtest.bench.encoders_rounds import Plan, Results, measure_encoders
from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.bench.rounds import on_stderr

QUICK = Plan(repeats=1, seconds=0.02, clients=8, batches=(4,), wide_batch=4, alone=5, patience_s=0.0)


def main(argv: list[str] | None = None, cache: Path | None = None) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error.

    Args:
        cache: where bundles are kept unless told otherwise.
    """
    args = _parser(cache).parse_args(argv)
    end_on_sigterm()
    plan = Plan(repeats=args.repeats, seconds=args.seconds, patience_s=args.patience)
    plan = QUICK if args.quick else plan
    results: dict[str, dict[str, Results]] = {}
    rows: list[report.Row] = []
    try:
        for model in [args.bundle.name] if args.bundle else args.models:
            bundles = {"": args.bundle}
            if not args.bundle:
                bundles = {p: bench_encoder(args.bundle_cache, model, p) for p in args.precisions}
            with _peer(args, model) as peer:
                results[model] = measure_encoders(bundles, plan, on_stderr, peer=peer)
            rows += report.rows(model, results[model], plan)
    except (BundleNotMade, ServerFailed, ConfigurationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.table(rows))
    if args.out:
        args.out.write_text(json.dumps(report.as_json(rows, results, plan), indent=1), encoding="utf-8")
    return 0


@contextmanager
def _peer(args: argparse.Namespace, model: str) -> Iterator[Infinity | None]:
    """infinity-emb with the model, if it was asked for, embeds, and starts."""
    with ExitStack() as stack:
        peer = None
        if args.peers and not args.bundle and TASKS[model] == "embed":
            try:
                peer = stack.enter_context(
                    infinity(args.bundle_cache / f"{model}-source", args.bundle_cache / "infinity")
                )
            except PeerFailed as error:
                on_stderr(f"{model}: without infinity-emb: {error}")
        yield peer


def _parser(cache: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.bench.encoders",
        description="Sequences a second and latency of encoders: bare ONNX Runtime, the server over gRPC, and padded "
        "batches in arrival order, over the same graph, measured in turn.",
    )
    add = parser.add_argument
    add("--models", type=some_of(MODELS), default=MODELS, help=f"of {', '.join(MODELS)} (default: all)")
    add("--precisions", type=some_of(PRECISIONS), default=PRECISIONS, help="of fp32, int8 (default: both)")
    add_rounds(parser)
    add("--seconds", type=float, default=10.0, help="of each measurement, about (default: 10)")
    add("--peers", action="store_true", help="also infinity-emb, installed beside the bundles; of models that embed")
    add("--quick", action="store_true", help="one short round: shows that it works, not how fast")
    add("--bundle", type=Path, help="measure this bundle instead of the benchmark's own models")
    add("--bundle-cache", type=Path, default=cache or Path("bench-encoders"), help="where bundles are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
