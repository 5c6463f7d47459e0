"""Flags of the generating commands, and the request that they make."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb

from attendant.client.access import add_access_arguments
from attendant.client.conversation import conversation

DEFAULT_SERVER = "127.0.0.1:50051"


def add_server_arguments(parser: ArgumentParser, *, token: bool = True) -> None:
    """Where the server is, and what it is shown. ``token``: ``--token`` means that of the caller here."""
    parser.add_argument(
        "--server", metavar="HOST:PORT", default=DEFAULT_SERVER, help="the server's gRPC address (default: %(default)s)"
    )
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="deadline of each call (default: none)")
    add_access_arguments(parser, token=token)


def add_generation_arguments(parser: ArgumentParser) -> None:
    """What to generate with. A value that is left out is the model's default."""
    parser.add_argument("--model", default="", help="model name; may be left out if only one continues prompts")
    parser.add_argument("--max-tokens", metavar="N", type=number(2**32), help="most tokens to generate")
    parser.add_argument("--temperature", metavar="T", type=float, help="0 is greedy")
    parser.add_argument("--top-p", metavar="P", type=float, help="nucleus: greater than 0, at most 1")
    parser.add_argument(
        "--top-k", metavar="K", type=number(2**32), help="sample among the K most probable tokens; 0 is all"
    )
    parser.add_argument("--seed", metavar="N", type=number(2**64), help="the same seed gives the same text")
    parser.add_argument(
        "--stop", metavar="S", action="append", default=[], help="end before this string; may be repeated"
    )
    parser.add_argument("--keep-special-tokens", action="store_true", help="the text has special tokens, too")
    parser.add_argument("--stats", action="store_true", help="print token counts and timings on standard error")


def sampling(args: Namespace) -> pb.Sampling:
    """The sampling section of a request."""
    return pb.Sampling(temperature=args.temperature, top_p=args.top_p, top_k=args.top_k, seed=args.seed)


def stopping(args: Namespace) -> pb.Stopping:
    """The stopping section of a request."""
    return pb.Stopping(max_tokens=args.max_tokens, stop=args.stop)


def text_request(args: Namespace, text: str) -> pb.GenerateRequest:
    """Continue ``text`` as it stands."""
    return pb.GenerateRequest(model=args.model, text=text, **_asked(args))


def chat_request(args: Namespace, messages: list[pb.ChatMessage]) -> pb.GenerateRequest:
    """Answer the last of ``messages``."""
    chat = conversation(args, messages)
    return pb.GenerateRequest(model=args.model, chat=chat, separate=args.separate, **_asked(args))


def _asked(args: Namespace) -> dict[str, Any]:
    """What a request says beside its prompt."""
    return {
        "sampling": sampling(args),
        "stopping": stopping(args),
        "keep_special_tokens": args.keep_special_tokens,
    }


def statistics(finish: pb.Finish) -> str:
    """Token counts and timings in one line."""
    usage, timings = finish.usage, finish.timings
    rate = (usage.completion_tokens - 1) / timings.decode_s if timings.decode_s else 0.0
    return (
        f"{usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached), {usage.completion_tokens} new; "
        f"queue {timings.queue_s * 1000:.0f} ms, first token {timings.first_token_s * 1000:.0f} ms, "
        f"{rate:.0f} tokens/s, total {timings.total_s:.2f} s; "
        f"{pb.FinishReason.Name(finish.reason).removeprefix('FINISH_REASON_').lower()}"
    )


def number(limit: int, least: int = 0) -> Callable[[str], int]:
    """A flag's type: a whole number from ``least`` up to but not including ``limit``."""

    def whole_number(text: str) -> int:
        value = int(text)
        if not least <= value < limit:
            raise ArgumentTypeError(f"{text} is not between {least} and {limit - 1}")
        return value

    whole_number.__name__ = "number"  # as argparse puts it: invalid number value
    return whole_number


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not greater than 0")
    return value


_seconds.__name__ = "number of seconds"  # as argparse puts it: invalid number of seconds value
