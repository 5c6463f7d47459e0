"""``attendant sign``."""

from __future__ import annotations

import argparse
from pathlib import Path

from attendant.commands.command import EXIT_OK, EXIT_USAGE, Failed, Parser, Run


def configure_sign(parser: Parser) -> Run:
    """``attendant sign``: says of bundles who made them."""
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument("--key", required=True, type=Path, help="file of an Ed25519 private key, as PEM")

    def run(args: argparse.Namespace) -> int:
        from attendant.bundle.signatures import sign
        from attendant.core.errors import ConfigurationError

        for bundle in args.bundles:
            try:
                print(f"wrote {sign(bundle, args.key)}")
            except ConfigurationError as error:
                raise Failed(error, EXIT_USAGE) from None
        return EXIT_OK

    return run
