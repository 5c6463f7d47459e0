"""``python -m attendant_loadtest.bench``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from attendant.core.errors import ConfigurationError

from attendant_loadtest.bench import encoders, report, seq2seq, together
from attendant_loadtest.bench.arguments import add_rounds, end_on_sigterm, numbers, some_of
from attendant_loadtest.bench.bundles import BundleNotMade, bench_bundle
from attendant_loadtest.bench.peers import command as peers
from attendant_loadtest.bench.processes import ServerFailed
from attendant_loadtest.bench.rounds import Plan, measure_bundle, on_stderr

PRECISIONS = ("fp32", "int8", "int4")


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and return the exit code: 0, or 1 with the cause on standard error."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["encoders"]:
        return encoders.main(words[1:], _cache())
    if words[:1] == ["seq2seq"]:
        return seq2seq.main(words[1:], _cache())
    if words[:1] == ["peers"]:
        return peers.main(words[1:], _cache())
    if words[:1] == ["together"]:
        return together.main(words[1:])
    args = _parser().parse_args(words)
    end_on_sigterm()
    plan = Plan(args.concurrency, args.repeats, args.waves, patience_s=args.patience)
    if args.quick:
        plan = Plan(args.concurrency, repeats=1, waves=2, patience_s=0.0)
    rows: list[report.Row] = []
    try:
        bundles = {p: bench_bundle(args.bundle_cache, p) for p in args.precisions} if not args.bundle else {}
        for precision, bundle in (bundles or {args.bundle.name: args.bundle}).items():
            rows += report.rows(precision, measure_bundle(bundle, plan, on_stderr), plan)
    except (BundleNotMade, ServerFailed, ConfigurationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.table(rows))
    if args.out:
        args.out.write_text(json.dumps(report.as_json(rows, plan), indent=1), encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m attendant_loadtest.bench",
        description="Generated tokens a second of bare ONNX Runtime, of the engine in process and of the server over "
        "gRPC, over the same graph, 128 prompt tokens to 64 new ones, measured in turn.",
    )
    add = parser.add_argument
    add(
        "--precisions",
        type=some_of(PRECISIONS),
        default=("fp32", "int8"),
        help="of fp32, int8, int4 (default: fp32,int8)",
    )
    add("--concurrency", type=numbers, default=(1, 4, 8, 16), help="requests at a time (default: 1,4,8,16)")
    add_rounds(parser)
    add("--waves", type=int, default=6, help="requests of a measurement per concurrency (default: 6)")
    add("--quick", action="store_true", help="one short round: shows that it works, not how fast")
    add("--bundle", type=Path, help="measure this bundle instead of the benchmark's own model")
    add("--bundle-cache", type=Path, default=_cache(), help="where the model's bundles are kept (default: %(default)s)")
    return parser


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attendant" / "bench"


if __name__ == "__main__":
    sys.exit(main())
