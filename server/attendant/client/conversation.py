"""What a conversation has beside its messages, from flags: tools, documents, variables, the beginning of an answer."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from attendant_proto.v1 import generation_pb2 as pb


def add_conversation_arguments(parser: ArgumentParser) -> None:
    """Flags of commands that talk to a model by its chat template."""
    parser.add_argument(
        "--tools",
        metavar="FILE",
        type=_objects,
        default=[],
        help="tools that the model may call: a JSON array of them, as OpenAI's API has it",
    )
    parser.add_argument(
        "--documents",
        metavar="FILE",
        type=_objects,
        default=[],
        help="documents that the answer is to be grounded on: a JSON array of objects, as the template has them",
    )
    parser.add_argument(
        "--variables",
        metavar="JSON",
        type=_object,
        default={},
        help="more that the chat template looks at, as {'enable_thinking': false} in JSON",
    )
    parser.add_argument("--prefill", metavar="TEXT", default="", help="what the answer begins with")
    parser.add_argument("--given-template", metavar="FILE", type=_text, help="a chat template in place of the model's")
    parser.add_argument(
        "--separate",
        action="store_const",
        const=True,
        help="tell reasoning and tool calls apart from the text (default: where there are tools)",
    )


def is_asked(args: Namespace) -> bool:
    """Whether one of the flags is given."""
    return any(
        getattr(args, name) for name in ("tools", "documents", "variables", "prefill", "given_template", "separate")
    )


def conversation(args: Namespace, messages: list[pb.ChatMessage]) -> pb.Chat:
    """A conversation as the flags have it."""
    chat = pb.Chat(
        messages=messages,
        tools=[pb.Tool(definition=_json(tool)) for tool in args.tools],
        documents=[_json(document) for document in args.documents],
        given_template=args.given_template or "",
        template_variables=_json(args.variables) if args.variables else "",
    )
    if args.prefill:
        chat.messages.add(role="assistant", content=args.prefill)
        chat.continue_final_message = True
    return chat


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ArgumentTypeError(f"{path} cannot be read: {error}") from None


def _objects(path: str) -> list[dict[str, Any]]:
    found = _parsed(_text(path), path)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ArgumentTypeError(f"{path} is no JSON array of objects")
    return found


def _object(text: str) -> dict[str, Any]:
    found = _parsed(text, text)
    if not isinstance(found, dict):
        raise ArgumentTypeError(f"{text} is no JSON object")
    return found


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"{name} is no JSON: {error}") from None
