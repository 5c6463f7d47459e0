"""``python -m tests.cuda_standin BUNDLE... [--work DIR]``: run bundles for NVIDIA GPUs without a GPU."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.cuda_standin.report import Verdict, run_bundle
from tests.cuda_standin.workplace import prepare


def main() -> int:
    """Return the exit status: 1 if a bundle fails or causes a complaint."""
    parser = argparse.ArgumentParser(prog="python -m tests.cuda_standin", description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE", help="none: only prepare DIR")
    work = os.environ.get("ATTENDANT_CUDA_STANDIN", "out/cuda-standin")
    parser.add_argument("--work", type=Path, default=Path(work), metavar="DIR", help="default: %(default)s")
    args = parser.parse_args()
    workplace = prepare(args.work)
    failed = False
    for bundle in args.bundles:
        report = run_bundle(workplace, bundle)
        print("\n".join(report.lines()), flush=True)
        failed |= report.verdict is Verdict.FAILED
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
