"""``attendant estimate``: when an answer would come if the question were asked now."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from attendant_proto.v1 import generation_pb2 as pb
from google.protobuf.json_format import MessageToDict

from attendant.client.commands import is_chat, read_prompt
from attendant.client.connection import Connection
from attendant.client.conversation import add_conversation_arguments
from attendant.client.request import add_generation_arguments, add_server_arguments, chat_request, text_request


def add_estimate_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant estimate``."""
    parser.add_argument("text", metavar="TEXT", help="the prompt; - reads it from standard input")
    parser.add_argument(
        "--raw", action="store_true", help="continue TEXT as it stands, even if the model has a chat template"
    )
    parser.add_argument("--first-token", metavar="SECONDS", type=float, help="the first token has to come within this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_server_arguments(parser)
    add_generation_arguments(parser)
    add_conversation_arguments(parser)


def estimate(args: Namespace) -> int:
    """Say when the answer would come. --timeout is the deadline that it is held against."""
    text = read_prompt(args.text)
    if text is None:
        return 2
    with Connection.of(args) as connection:
        message = pb.ChatMessage(role="user", content=text)
        request = chat_request(args, [message]) if is_chat(args, connection) else text_request(args, text)
        if args.first_token is not None:
            request.ttft_target_s = args.first_token
        told = connection.estimate(request)
    if args.json:
        print(json.dumps(_dictionary(told), ensure_ascii=False))
    else:
        print("\n".join(_lines(told)))
    return 0


def _dictionary(told: pb.EstimateResponse) -> dict[str, object]:
    values: dict[str, object] = MessageToDict(
        told, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return values | {"tokens_ahead": told.tokens_ahead}  # which protobuf writes as a text


def _lines(told: pb.EstimateResponse) -> Iterator[str]:
    if told.known:
        yield f"first token in {told.first_token_s:.2f} s, end in {told.end_s:.2f} s"
    else:
        yield "how long it takes is not known yet"
    yield f"ahead: {told.requests_ahead} requests, {told.tokens_ahead} tokens of their prompts"
    if told.admitted:
        yield "it would be let in"
    else:
        yield f"it would be refused: {told.refusal}; come again in {told.retry_after_s:.1f} s"
