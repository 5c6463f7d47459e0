"""``attendant token``."""

from __future__ import annotations

import argparse
import sys

from attendant.commands.command import EXIT_OK, EXIT_USAGE, Failed, Parser, Run


def configure_token(parser: Parser) -> Run:
    """``attendant token new``."""
    from datetime import date

    from attendant.core.caller import Right
    from attendant.core.errors import ConfigurationError
    from attendant.security.new_token import line_of, new_token
    from attendant.settings.callers import parse_callers

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser(
        "new",
        help="make a token: it on standard error, once, and its line for auth.tokens on standard output",
        allow_abbrev=False,
    )
    new.add_argument("name", metavar="NAME", help="whose it is: this stands in the log, and work is charged to it")
    new.add_argument(
        "--models",
        metavar="PATTERN",
        nargs="+",
        default=["*"],
        help="names that it may use, e.g. 'chat-*' (default: *)",
    )
    new.add_argument(
        "--scopes", nargs="+", choices=[*Right], default=[Right.INFER], help="what it may do (default: infer)"
    )
    new.add_argument("--expires", metavar="DAY", type=date.fromisoformat, help="last day, e.g. 2027-01-31")

    def run(args: argparse.Namespace) -> int:
        token = new_token()
        line = line_of(token, args.name, args.models, [Right(each) for each in args.scopes], args.expires)
        try:
            parse_callers(line, "this token")
        except ConfigurationError as error:
            raise Failed(error, EXIT_USAGE) from None
        print(f"token, shown this once: {token}", file=sys.stderr, flush=True)
        print(line)
        return EXIT_OK

    return run
