"""``attendant generate`` and ``attendant models``."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2
from google.protobuf.json_format import MessageToDict

from attendant.client.connection import CallFailed, Connection
from attendant.client.conversation import add_conversation_arguments, is_asked
from attendant.client.keeping import add_keeping_arguments
from attendant.client.model_report import details, table
from attendant.client.repository import show_index
from attendant.client.request import (
    add_generation_arguments,
    add_server_arguments,
    chat_request,
    statistics,
    text_request,
)
from attendant.client.score import Score
from attendant.client.terminal import Answer, ToolCalls


def add_generate_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant generate``."""
    parser.add_argument("text", metavar="TEXT", help="the prompt; - reads it from standard input")
    parser.add_argument(
        "--raw", action="store_true", help="continue TEXT as it stands, even if the model has a chat template"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object when the answer is complete")
    parser.add_argument(
        "--score",
        metavar="ANSWER",
        help="generate nothing: say how probable the model holds ANSWER, token for token, as natural logarithms",
    )
    add_server_arguments(parser)
    add_generation_arguments(parser)
    add_conversation_arguments(parser)
    add_keeping_arguments(parser)


def add_models_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant models``."""
    parser.add_argument("--json", action="store_true", help="print a JSON list, with all that is known of each model")
    shown = parser.add_mutually_exclusive_group()  # the index knows no more of a version than its line says
    shown.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say of each model where it came from, what quantisation did to it, and how far from its source it is",
    )
    shown.add_argument(
        "--index", action="store_true", help="list every version that the server or its repository has, loaded or not"
    )
    add_server_arguments(parser)


def generate(args: Namespace) -> int:
    """Stream one answer to the terminal."""
    text = read_prompt(args.text)
    if text is None:
        return 2
    with Connection.of(args, keeping=True) as connection:
        chat = is_chat(args, connection)
        message = pb.ChatMessage(role="user", content=text)
        request = chat_request(args, [message]) if chat else text_request(args, text)
        if args.score is not None:
            score = Score.of(connection, request, args.score)
            print(json.dumps(score.dictionary(), ensure_ascii=False) if args.json else "\n".join(score.lines()))
            return 0
        responses = connection.generate(request)
        if args.json:
            print(json.dumps(_collect(responses), ensure_ascii=False))
            return 0
        answer = Answer(args.prefill)
        answer.show(responses)
        if args.stats and answer.finish is not None:
            print(statistics(answer.finish), file=sys.stderr)
    return 0


def is_chat(args: Namespace, connection: Connection) -> bool:
    """Whether what is asked for is a chat. Raises CallFailed: it is none, and has flags of one."""
    chat = not args.raw and _chats(args, connection)
    if is_asked(args) and not chat:
        raise CallFailed("tools, documents, variables and the like are for chats, and this is none")
    return chat


def _chats(args: Namespace, connection: Connection) -> bool:
    """Whether the model has a chat template, or is given one."""
    return bool(args.given_template) or connection.find_model(args.model, ("generate",)).generation.HasField("chat")


def models(args: Namespace) -> int:
    """List the server's models."""
    with Connection.of(args) as connection:
        if args.index:
            show_index(connection, as_json=args.json)
            return 0
        found = connection.list_models()
    if args.json:
        print(json.dumps([_dictionary(model) for model in found], ensure_ascii=False))
        return 0
    for line in details(found) if args.verbose else table(found):
        print(line)
    return 0


def read_prompt(text: str) -> str | None:
    """The prompt of an argument, or of standard input for ``-``. None: it is not UTF-8, and the user was told."""
    try:
        text = sys.stdin.buffer.read().decode() if text == "-" else text
        text.encode()  # arguments that are not UTF-8 arrive as surrogates
    except UnicodeError:
        print("attendant: error: the prompt is not valid UTF-8", file=sys.stderr)
        return None
    return text


def _collect(responses: Iterable[pb.GenerateResponse]) -> dict[str, object]:
    text: list[str] = []
    reasoning: list[str] = []
    calls = ToolCalls()
    tokens: list[int] = []
    finish = pb.Finish()
    for response in responses:
        text.append(response.text)
        reasoning.append(response.reasoning)
        calls.take(response)
        tokens.extend(response.token_ids)
        if response.HasField("finish"):
            finish = response.finish
    told: dict[str, object] = {"text": "".join(text), "token_ids": tokens}
    if any(reasoning):
        told["reasoning"] = "".join(reasoning)
    if calls.whole:
        told["tool_calls"] = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls.whole]
    return {**told, **_dictionary(finish)}


def _dictionary(message: pb.Finish | models_pb2.Model) -> dict[str, object]:
    values: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return values
