"""``attendant``: argv to a command. Imports what a command needs when it is named, so that --help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from attendant.commands.asking import (
    configure_chat,
    configure_comparing,
    configure_encoding,
    configure_estimate,
    configure_explain,
    configure_generate,
    configure_health,
    configure_models,
    configure_repository,
    configure_transcribe,
    configure_translate,
)
from attendant.commands.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, Failed, Parser, Run
from attendant.commands.exporting import configure_export
from attendant.commands.loading import configure_capacity, configure_loadtest, configure_simulate
from attendant.commands.serving import configure_demo, configure_serve
from attendant.commands.signing import configure_sign
from attendant.commands.tokens import configure_token


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except Failed as failure:
        print(f"attendant: error: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone; so may what is still in the buffer
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _main(arguments: list[str]) -> int:
    parser = Parser(prog="attendant", description="Serve Transformers from ONNX bundles over gRPC.", allow_abbrev=False)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND ARGUMENTS", title="commands")
    run: Run | None = None
    for name, (help_text, configure) in COMMANDS.items():
        command = subparsers.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if name in arguments[:1]:
            run = configure(command)
    args = parser.parse_args(arguments)
    if run is not None:
        return run(args)
    if args.version:
        from attendant import __version__

        print(f"attendant {__version__}")
        return EXIT_OK
    parser.print_help()
    return EXIT_USAGE


COMMANDS: dict[str, tuple[str, Callable[[Parser], Run]]] = {
    "serve": ("Serve bundles over gRPC.", configure_serve),
    "demo": ("Serve the embedded demo models, or a real one, and ask one a question.", configure_demo),
    "generate": ("Stream one answer to the terminal.", configure_generate),
    "estimate": ("When an answer would come, and whether it would be let in.", configure_estimate),
    "chat": ("Talk with a model in the terminal.", configure_chat),
    "translate": ("Translate texts, or summarise them.", configure_translate),
    "embed": ("Vectors of texts.", configure_encoding("embed")),
    "classify": ("Labels of texts, with scores.", configure_encoding("classify")),
    "tag": ("Labelled spans of texts: names, places and the like.", configure_encoding("tag")),
    "answer": ("Find the answer to a question in a text.", configure_encoding("answer")),
    "rerank": ("Order documents by how well they fit a query.", configure_encoding("rerank")),
    "fill-mask": ("Words for the masks in texts.", configure_encoding("fill-mask")),
    "see": ("Labels or vectors of image files.", configure_encoding("see")),
    "hear": ("Labels of sound files.", configure_encoding("hear")),
    "transcribe": ("The words of recordings.", configure_transcribe),
    "explain": ("Show what a model looked at, and what its answer hung on.", configure_explain),
    "replay": ("Make kept answers again, and tell what changed.", configure_comparing("replay")),
    "compare": ("Compare two models: quality, speed and cost.", configure_comparing("compare")),
    "loadtest": ("Ask a server at a rate, and say how long it took.", configure_loadtest),
    "capacity": ("The highest rate at which a server is fast enough.", configure_capacity),
    "simulate": ("What many servers would do, in thought.", configure_simulate),
    "health": ("Whether a server serves; the exit code says it, too.", configure_health),
    "models": ("List a server's models.", configure_models),
    "load": ("Have a model of a server's repository served.", configure_repository("load")),
    "unload": ("Take a model of a server out of service.", configure_repository("unload")),
    "token": ("Make a token for a caller.", configure_token),
    "sign": ("Sign bundles, for servers that want to know who made them.", configure_sign),
    "export": ("Make a bundle from a Hugging Face model.", configure_export),
}
