"""Flags of ``attendant explain``, and which of them go together."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from attendant.client.request import DEFAULT_SERVER, add_server_arguments, number

KINDS = ("self", "encoder", "cross")
REDUCTIONS = ("none", "mean-heads", "max-heads", "mean", "max", "rollout")
METHODS = ("attention", "occlusion", "rollout")
FORMS = ("png", "svg", "html")
LIMIT = 2**32

_DRAWING = {"json", "output", "color", "background"}
_CALL = {"model", "server", "timeout"}
_SUBJECT = {"text", "second", "image", "audio", "raw", "from_language", "to_language", "answer", "max_tokens", "method"}
_ATTENTION = {"kind", "layer", "head", "reduction", "with_sink", "token"}
_ATTRIBUTION = {"unit", "mask", "label"}
_MODES: Mapping[str, set[str]] = {
    "--recorded": {"recorded", "token", *_DRAWING},
    "--steps": {"steps", "text", "raw", "max_tokens", *_CALL, *_DRAWING},
    "--context": {"word", "context", *_CALL, *_DRAWING},
    "--method attention": {*_SUBJECT, *_ATTENTION, *_CALL, *_DRAWING},
    "--method occlusion": {*_SUBJECT, *_ATTRIBUTION, *_CALL, *_DRAWING},
    "--method rollout": {*_SUBJECT, *_ATTRIBUTION, *_CALL, *_DRAWING},
}
"""Flags that each way of asking understands."""
_GROUPED = set[str]().union(*_MODES.values())
_DEFAULTS = {"server": DEFAULT_SERVER, "color": "auto", "background": "auto"}
_FLAGS = {"from_language": "--from", "to_language": "--to", "text": "TEXT"}


class WrongUsage(Exception):
    """Flags do not go together; ``str(error)`` says which and what is allowed."""


def add_explain_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant explain``."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="what the model reads; - is standard input")
    parser.add_argument("--model", default="", help="model name; may be left out if only one can be asked")
    _add_subject(parser)
    _add_attention(parser)
    _add_attribution(parser)
    words = parser.add_argument_group("a word in several contexts")
    words.add_argument("--word", metavar="WORD", action="append", default=[], help="once, or once for each context")
    words.add_argument(
        "--context", metavar="TEXT", action="append", default=[], help="a text with the word; two or more"
    )
    steps = parser.add_argument_group("the steps of a request")
    steps.add_argument("--steps", action="store_true", help="answer TEXT, and show what the time went to")
    drawing = parser.add_argument_group("drawing")
    drawing.add_argument("--json", action="store_true", help="print a line of JSON for each method")
    drawing.add_argument(
        "--output",
        metavar="FILE",
        help="write a picture or a page: .png or .svg (pip install 'attendant[explain]'), .html",
    )
    drawing.add_argument(
        "--recorded", metavar="FILE", help="draw what --json printed, without a server; - is standard input"
    )
    drawing.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set (default: %(default)s)",
    )
    drawing.add_argument(
        "--background",
        choices=("auto", "dark", "light"),
        default="auto",
        help="of the terminal; auto: as COLORFGBG says, or dark (default: %(default)s)",
    )
    add_server_arguments(parser, token=False)


def _add_subject(parser: ArgumentParser) -> None:
    subject = parser.add_argument_group("what is explained")
    subject.add_argument("--image", metavar="FILE", help="an image in place of TEXT")
    subject.add_argument("--audio", metavar="FILE", help="a recording in place of TEXT")
    subject.add_argument("--second", metavar="TEXT", help="the second text of a model that reads pairs")
    subject.add_argument("--answer", metavar="TEXT", help="what a model that generates said (default: it says it now)")
    subject.add_argument(
        "--max-tokens",
        metavar="N",
        type=number(LIMIT),
        help="most tokens of an answer that it gives; 0: only TEXT itself",
    )
    subject.add_argument("--raw", action="store_true", help="TEXT as it stands, even if the model has a chat template")
    subject.add_argument("--from", dest="from_language", metavar="LANG", help="models that translate: of the text")
    subject.add_argument("--to", dest="to_language", metavar="LANG", help="models that translate: of the answer")
    subject.add_argument(
        "--method",
        choices=METHODS,
        action="append",
        default=[],
        help="attention (default); occlusion: leave parts out; rollout: attention through all layers. May be repeated",
    )


def _add_attention(parser: ArgumentParser) -> None:
    attention = parser.add_argument_group("attention")
    attention.add_argument(
        "--kind", choices=KINDS, help="cross: of an answer at its source (default where there is one)"
    )
    attention.add_argument(
        "--layer", metavar="N", type=number(LIMIT), action="append", default=[], help="from 0; may be repeated"
    )
    attention.add_argument(
        "--head", metavar="N", type=number(LIMIT), action="append", default=[], help="from 0; may be repeated"
    )
    attention.add_argument(
        "--reduction",
        choices=REDUCTIONS,
        help="default: the mean of everything; in pictures each layer, or the heads of --layer; in pages each head",
    )
    attention.add_argument(
        "--with-sink", action="store_true", help="keep the first token, where attention that has nowhere to go ends up"
    )
    attention.add_argument("--token", metavar="TOKEN", help="only this token of the answer, by its text or its number")


def _add_attribution(parser: ArgumentParser) -> None:
    attribution = parser.add_argument_group("occlusion and rollout")
    attribution.add_argument("--unit", choices=("word", "token"), help="what is left out at a time (default: word)")
    attribution.add_argument("--mask", action="store_true", help="put the model's mask token in a part's place")
    attribution.add_argument("--label", metavar="LABEL", help="models that classify (default: the most probable one)")


def check(args: Namespace) -> None:
    """Refuse flags that would be ignored.

    Raises:
        WrongUsage: some do not go together, or something is missing.
    """
    modes = _modes(args)
    allowed = set[str]().union(*(_MODES[mode] for mode in modes))
    for name in sorted(_GROUPED - allowed):
        if getattr(args, name) not in (None, False, [], "", _DEFAULTS.get(name)):
            raise WrongUsage(f"{flag(name)} is {getattr(args, name)!r}; it has no meaning with {' and '.join(modes)}")
    if args.output is not None and form_of(args.output) not in FORMS:
        raise WrongUsage(f"--output is {args.output!r}; allowed: a name that ends with .png, .svg or .html")
    if args.json and args.output is not None:
        raise WrongUsage("give --json or --output, not both")
    _check_inputs(args, modes)


def _check_inputs(args: Namespace, modes: list[str]) -> None:
    given = [flag(name) for name in ("text", "image", "audio") if getattr(args, name) is not None]
    if modes == ["--recorded"]:
        return
    if modes == ["--context"]:
        if len(args.context) < 2:
            raise WrongUsage("--context has to be given twice or more")
        if len(args.word) not in (0, 1, len(args.context)):
            raise WrongUsage(
                f"--word is given {len(args.word)} times; allowed: once for all contexts, or once for each of the "
                f"{len(args.context)}"
            )
        return
    if len(given) != 1:
        raise WrongUsage(f"{' and '.join(given) or 'nothing'} is given; allowed: one of TEXT, --image and --audio")
    if args.answer is not None and args.max_tokens is not None:
        raise WrongUsage("give --answer or --max-tokens, not both")


def _modes(args: Namespace) -> list[str]:
    if args.recorded is not None:
        return ["--recorded"]
    if args.context or args.word:
        return ["--context"]
    if args.steps:
        return ["--steps"]
    return [f"--method {method}" for method in methods(args)]


def methods(args: Namespace) -> list[str]:
    """Those that were asked for, each once."""
    return list(dict.fromkeys(args.method or ["attention"]))


def form_of(path: str) -> str:
    """How a file's name ends, without the dot."""
    return path.rpartition(".")[2].lower()


def flag(name: str) -> str:
    """What a value is called on the command line."""
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")
