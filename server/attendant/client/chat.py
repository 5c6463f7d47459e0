"""``attendant chat``: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser, Namespace

from attendant_proto.v1 import generation_pb2 as pb

from attendant.client.connection import CallFailed, Connection
from attendant.client.conversation import add_conversation_arguments
from attendant.client.keeping import add_keeping_arguments
from attendant.client.request import add_generation_arguments, add_server_arguments, chat_request, statistics
from attendant.client.terminal import Answer

HELP = "/reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer"


def add_chat_arguments(parser: ArgumentParser) -> None:
    """Flags of ``attendant chat``."""
    parser.add_argument("--system", metavar="TEXT", help="a system message that opens every conversation")
    add_server_arguments(parser)
    add_generation_arguments(parser)
    add_conversation_arguments(parser)
    add_keeping_arguments(parser)


def chat(args: Namespace) -> int:
    """Read, answer, repeat."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() then edits lines and remembers them
    interactive = sys.stdin.isatty()
    with Connection.of(args, keeping=True) as connection:
        model = connection.find_model(args.model, ("generate",))
        if not model.generation.HasField("chat") and not args.given_template:
            raise CallFailed(f"model {model.name!r} has no chat template; use `attendant generate`")
        if interactive:
            print(f"{model.name}: {HELP}")
        conversation = _Conversation(args)
        while (line := _read("> " if interactive else "")) is not None:
            match line.strip():
                case "":
                    continue
                case "/exit":
                    break
                case "/reset":
                    conversation = _Conversation(args)
                case text if text.startswith("/"):
                    print(HELP)
                case text:
                    conversation.say(connection, text)
                    while (call := conversation.open_call) is not None:
                        result = _read(f"what {call.name} gives> " if interactive else "")
                        if result is None:
                            return 0
                        conversation.give(connection, call, result)
    return 0


class _Conversation:
    """The messages so far. A failed answer takes its question with it, and what tools were asked for it; a stopped one
    stays as far as it came."""

    def __init__(self, args: Namespace) -> None:
        self._args = args
        self._messages = [pb.ChatMessage(role="system", content=args.system)] if args.system else []
        self._asked_at = 0
        self._open: list[pb.ToolCall] = []
        self._results: list[pb.ChatMessage] = []

    @property
    def open_call(self) -> pb.ToolCall | None:
        """A call of a tool that waits for its result."""
        return self._open[0] if self._open else None

    def say(self, connection: Connection, text: str) -> None:
        """Ask, show the answer, remember both."""
        self._asked_at = len(self._messages)
        self._ask(connection, [pb.ChatMessage(role="user", content=text)])

    def give(self, connection: Connection, call: pb.ToolCall, result: str) -> None:
        """Take down what a tool gave. When all have, the model goes on."""
        self._open.remove(call)
        self._results.append(pb.ChatMessage(role="tool", content=result, name=call.name, tool_call_id=call.id))
        if not self._open:
            results, self._results = self._results, []
            self._ask(connection, results)

    def _ask(self, connection: Connection, said: list[pb.ChatMessage]) -> None:
        answer = Answer(self._args.prefill)
        responses = connection.generate(chat_request(self._args, [*self._messages, *said]))
        try:
            with contextlib.closing(responses):
                answer.show(responses)
        except KeyboardInterrupt:
            pass
        except CallFailed as error:
            print(f"attendant: error: {error}", file=sys.stderr)
            del self._messages[self._asked_at :]
            return
        self._messages += [*said, answer.message()]
        self._open = list(answer.calls.whole)
        if self._args.stats and answer.finish is not None:
            print(statistics(answer.finish), file=sys.stderr)


def _read(prompt: str) -> str | None:
    while True:
        try:
            return input(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            print()
