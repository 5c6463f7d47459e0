"""What speech models heard, for people or as lines of JSON."""

from __future__ import annotations

import json
import shutil
import sys

from attendant_proto.v1 import speech_pb2 as pb
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from attendant.client.terminal import printable

ERASE_LINE = "\r\x1b[K"


class SpeechOutput:
    """Writes what is final to standard output, and what may change to standard error: on a terminal in one line."""

    def __init__(self, *, as_json: bool, timestamps: bool) -> None:
        self._as_json = as_json
        self._timestamps = timestamps

    def result(self, name: str, result: pb.SpeechResponse) -> None:
        """All of a recording that was sent as a whole."""
        for warning in result.warnings:
            print(f"warning: {name}: {warning}", file=sys.stderr)
        if self._as_json:
            self._json({"input": name, **_values(result)})
        elif self._timestamps:
            for segment in result.segments:
                self.segment(name, segment)
        else:
            self._line(result.text)

    def segment(self, name: str, segment: pb.SpeechSegment) -> None:
        """A part of a recording that is final."""
        if self._as_json:
            self._json({"input": name, "segment": _values(segment)})
        elif self._timestamps:
            self._line(f"[{_clock(segment.start_s)} --> {_clock(segment.end_s)}]  {segment.text}")
        else:
            self._line(segment.text)

    def partial(self, name: str, text: str) -> None:
        """What was heard since the last segment."""
        if self._as_json:
            self._json({"input": name, "partial": text})
        elif sys.stderr.isatty():
            room = shutil.get_terminal_size().columns - 5
            print(f"{ERASE_LINE}... {printable(text)[-room:]}", end="", file=sys.stderr, flush=True)
        else:
            print(f"... {text}", file=sys.stderr, flush=True)

    def finish(self, name: str, result: pb.SpeechResponse) -> None:
        """The end of a stream, whose segments have been told."""
        if self._as_json:
            self._json({"input": name, "finish": _values(result)})
        else:
            self._erase()

    def statistics(self, result: pb.SpeechResponse) -> None:
        """Language, token counts and timings in one line on standard error."""
        usage, timings = result.usage, result.timings
        language = f" in {result.language!r} ({result.language_probability:.2f})" if result.language else ""
        speed = result.duration_s / timings.total_s if timings.total_s else 0.0
        print(
            f"{result.duration_s:.1f} s of sound{language}; {usage.prompt_tokens} prompt tokens, "
            f"{usage.completion_tokens} new; queue {timings.queue_s * 1000:.0f} ms, first token "
            f"{timings.first_token_s * 1000:.0f} ms, total {timings.total_s:.2f} s, {speed:.1f} x real time",
            file=sys.stderr,
        )

    def _line(self, text: str) -> None:
        self._erase()
        print(printable(text) if sys.stdout.isatty() else text, flush=True)

    def _erase(self) -> None:
        if sys.stderr.isatty():
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)

    def _json(self, values: dict[str, object]) -> None:
        print(json.dumps(values, ensure_ascii=False), flush=True)


def _values(message: Message) -> dict[str, object]:
    values: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return values


def _clock(seconds: float) -> str:
    """1:02:03.45, the hours only if there are any."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02}:{rest / 100:05.2f}"
    return f"{hours}:{clock}" if hours else clock
