"""``attendant translate``: texts through a model that reads and writes, several at a time, answers in order."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from attendant_proto.v1 import generation_pb2 as pb

from attendant.client.connection import Connection
from attendant.client.encoding import read_file
from attendant.client.keeping import add_keeping_arguments
from attendant.client.request import add_server_arguments, number
from attendant.client.terminal import printable

MAX_IN_FLIGHT = 8


def add_translate_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant translate``."""
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="default: the lines of standard input")
    parser.add_argument("--file", metavar="FILE", help="translate its lines; - is standard input")
    parser.add_argument("--model", default="", help="model name; may be left out if only one translates or summarises")
    parser.add_argument("--from", dest="source", metavar="LANG", default="", help="the texts' language, by its code")
    parser.add_argument("--to", dest="target", metavar="LANG", default="", help="the language to translate to")
    parser.add_argument("--beams", metavar="N", type=number(2**32), help="search N wide; 1 is greedy")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, one for each text")
    add_server_arguments(parser)
    add_keeping_arguments(parser)


def translate(args: Namespace) -> int:
    """Translate, or summarise, each text; empty ones stay empty."""
    if args.file is not None and args.texts:
        print("attendant: error: give texts or --file, not both", file=sys.stderr)
        return 2
    found = False
    try:
        # The connection closes first: its calls end, and with them the threads.
        with (
            ThreadPoolExecutor(MAX_IN_FLIGHT) as pool,
            Connection.of(args, keeping=True) as connection,
        ):
            for text, answer in _in_order(pool, connection, args):
                found = True
                _show(args, text, answer)
    except UnicodeError:
        print("attendant: error: the text is not valid UTF-8", file=sys.stderr)
        return 2
    if not found:
        print("attendant: error: there is no input", file=sys.stderr)
        return 2
    return 0


def _in_order(pool: ThreadPoolExecutor, connection: Connection, args: Namespace) -> Iterator[tuple[str, str]]:
    """Texts and their answers, of which at most :data:`MAX_IN_FLIGHT` are under way."""
    waiting: deque[tuple[str, Future[str]]] = deque()
    typed = not args.texts and args.file is None and sys.stdin.isatty()
    most = 1 if typed else MAX_IN_FLIGHT  # who types a line waits for its answer
    for text in _texts(args):
        waiting.append((text, pool.submit(_answer, connection, args, text)))
        while waiting and (len(waiting) >= most or waiting[0][1].done()):
            first, future = waiting.popleft()
            yield first, future.result()
    for text, future in waiting:
        yield text, future.result()


def _answer(connection: Connection, args: Namespace, text: str) -> str:
    if not text.strip():
        return ""
    request = pb.GenerateRequest(
        model=args.model,
        text=text,
        translation=pb.Translation(source_language=args.source, target_language=args.target),
        beam_search=None if args.beams is None else pb.BeamSearch(num_beams=args.beams),
        whole=True,
    )
    return "".join(response.text for response in connection.generate(request))


def _show(args: Namespace, text: str, answer: str) -> None:
    if args.json:
        print(json.dumps({"input": text, "text": answer}, ensure_ascii=False), flush=True)
    else:
        print(printable(answer) if sys.stdout.isatty() else answer, flush=True)


def _texts(args: Namespace) -> Iterable[str]:
    """The texts that were given, or the lines of the file or of standard input."""
    lines = sys.stdin.buffer if args.file in (None, "-") else read_file(args.file).splitlines()
    for text in args.texts or (line.decode().rstrip("\r\n") for line in lines):
        text.encode()  # arguments that are not UTF-8 arrive as surrogates
        yield text
