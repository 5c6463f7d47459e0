"""Flags of the commands on models that encode."""

from __future__ import annotations

from argparse import ArgumentParser

from attendant.client.keeping import add_keeping_arguments
from attendant.client.request import add_server_arguments, number

LIMIT = 2**32
AGGREGATIONS = ("none", "simple", "first", "average", "max")


def add_embed_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant embed``."""
    _add_texts(parser)
    parser.add_argument("--dimensions", metavar="N", type=number(LIMIT), help="only the first N numbers of a vector")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument(
        "--prompt",
        metavar="NAME",
        default="",
        help="one of the model's prompts, put before each text (default: its own)",
    )
    prompts.add_argument("--no-prompt", action="store_true", help="no prompt, even if the model has a default one")
    parser.add_argument("--per-token", action="store_true", help="one vector for each token")
    parser.add_argument(
        "--normalize", action="store_true", default=None, help="vectors of length 1, even if the model has others"
    )
    parser.add_argument("--no-normalize", dest="normalize", action="store_false", help="vectors as long as they are")
    _add_common(parser)


def add_classify_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant classify``."""
    _add_texts(parser)
    _add_scores(parser, "only the K best labels")
    _add_common(parser)


def add_tag_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant tag``."""
    _add_texts(parser)
    parser.add_argument(
        "--aggregation", choices=AGGREGATIONS, default="simple", help="how tokens become spans (default: simple)"
    )
    _add_stride(parser, "read longer texts in windows that share N tokens")
    parser.add_argument("--keep-outside", action="store_true", help="also spans that are labelled O")
    _add_common(parser)


def add_answer_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant answer``."""
    parser.add_argument("question", metavar="QUESTION", help="what to look for")
    parser.add_argument("context", metavar="TEXT", nargs="*", help="where to look (default: standard input)")
    parser.add_argument("--truncate", action="store_true", help="cut a question that is too long")
    parser.add_argument("--top-k", metavar="K", type=number(LIMIT), help="so many answers, best first (default: 1)")
    parser.add_argument("--max-answer-tokens", metavar="N", type=number(LIMIT), help="longest answer (default: 15)")
    _add_stride(parser, "tokens that the windows over a long text share (default: 128)")
    parser.add_argument("--allow-no-answer", action="store_true", help="let there be no answer")
    _add_common(parser)


def add_rerank_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant rerank``."""
    parser.add_argument("query", metavar="QUERY", help="what documents should be about")
    _add_texts(parser, "DOCUMENT")
    _add_scores(parser, "only the K best documents")
    _add_common(parser)


def add_fill_mask_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant fill-mask``."""
    _add_texts(parser)
    parser.add_argument("--top-k", metavar="K", type=number(LIMIT), help="so many tokens for each mask (default: 5)")
    _add_common(parser)


def add_see_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant see``."""
    parser.add_argument("images", metavar="FILE", nargs="+", help="image files; - is standard input")
    _add_scores(parser, "only the K best labels")
    _add_common(parser, batch=16)


def add_hear_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant hear``."""
    _add_sounds(parser)
    parser.add_argument("--truncate", action="store_true", help="cut the end off what is too long for the model")
    _add_scores(parser, "only the K best labels")
    _add_common(parser, batch=16)


def add_transcribe_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant transcribe``."""
    _add_sounds(parser)
    speech = parser.add_argument_group("models that write what they hear (Whisper)")
    speech.add_argument(
        "--language", metavar="CODE", help="what is spoken, as the model spells it: en (default: it listens)"
    )
    speech.add_argument("--translate", action="store_true", help="write it in English")
    speech.add_argument("--timestamps", action="store_true", help="tell when each segment begins and ends")
    speech.add_argument("--beams", metavar="N", type=number(LIMIT), help="search with N beams; 1 is greedy")
    speech.add_argument(
        "--stream", action="store_true", help="send it as fast as it is spoken, and show text as it is heard"
    )
    _add_common(parser, batch=1)


def _add_sounds(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="sound files (WAV, FLAC, OGG, MP3, ...); - is standard input"
    )


def _add_texts(parser: ArgumentParser, name: str = "TEXT") -> None:
    parser.add_argument("texts", metavar=name, nargs="*", help="default: the lines of standard input")
    parser.add_argument("--truncate", action="store_true", help="cut what is too long for the model")


def _add_scores(parser: ArgumentParser, top_k: str) -> None:
    parser.add_argument("--top-k", metavar="K", type=number(LIMIT), help=top_k)
    parser.add_argument("--raw-scores", action="store_true", help="logits in place of probabilities")


def _add_stride(parser: ArgumentParser, text: str) -> None:
    parser.add_argument("--stride", metavar="N", type=number(LIMIT), help=text)


def _add_common(parser: ArgumentParser, batch: int = 256) -> None:
    parser.add_argument("--model", default="", help="model name; may be left out if only one has the task")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, one for each input")
    parser.add_argument("--stats", action="store_true", help="print token counts and timings on standard error")
    parser.set_defaults(batch=batch)
    add_server_arguments(parser)
    add_keeping_arguments(parser)
