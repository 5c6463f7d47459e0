"""`python -m tests.traces.picture` draws a trace of the demo server, as a collector got it, into docs/assets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from tests.system.server import REPOSITORY, serving
from tests.traces.collector import Seen, collecting

TARGET = REPOSITORY / "docs" / "assets" / "trace.svg"
WIDTH, ROW, NAMES, EDGE = 1040, 24, 300, 16
COLOURS = {"queue": "#e69f00", "prefill": "#0072b2", "chunk": "#56b4e9", "decode": "#009e73", "detokenise": "#cc79a7"}
OTHER = "#6b6b6b"
TOLD = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "attendant.num_tokens", "rpc.response.status_code")
"""Attributes that stand beside a bar."""


def draw(spans: Sequence[Seen]) -> str:
    """A waterfall of the spans of one trace, the server's first: names on the left, time to the right."""
    (root,) = [span for span in spans if span.kind == "SERVER"]
    rows = list(_in_order(spans, root, 0))
    length_ns = max(span.end_ns for _, span in rows) - root.begin_ns
    scale = (WIDTH - NAMES - 2 * EDGE) / length_ns
    bottom = ROW * (len(rows) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom}" viewBox="0 0 {WIDTH} {bottom}" '
        f'font-family="sans-serif" font-size="12" fill="#222" role="img"><title>{escape(root.name)}</title>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    step_ms = next(s for k in range(-2, 6) for s in (10.0**k, 2 * 10.0**k, 5 * 10.0**k) if length_ns / 1e6 / s <= 8)
    for number in range(int(length_ns / 1e6 / step_ms) + 1):
        x = NAMES + number * step_ms * 1e6 * scale
        parts.append(f'<line x1="{x:.1f}" y1="{ROW}" x2="{x:.1f}" y2="{bottom - EDGE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{ROW - 8}" text-anchor="middle" fill="#666">{number * step_ms:g} ms</text>')
    for index, (depth, span) in enumerate(rows):
        y = ROW * (index + 1)
        x, width = NAMES + (span.begin_ns - root.begin_ns) * scale, max(2.0, (span.end_ns - span.begin_ns) * scale)
        parts.append(f'<text x="{EDGE + 14 * depth}" y="{y + 16}">{escape(span.name)}</text>')
        colour = COLOURS.get(span.name, OTHER)
        parts.append(f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>')
        if words := _words(span):
            before = x + width > WIDTH - 260
            at = f'x="{x - 6:.1f}" text-anchor="end"' if before else f'x="{x + width + 6:.1f}"'
            if before and x - NAMES < 260:  # no room on either side
                at, colour = f'x="{x + 6:.1f}"', "#fff"
            fill = "#fff" if colour == "#fff" else "#444"
            parts.append(f'<text {at} y="{y + 16}" font-size="11" fill="{fill}">{escape(words)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _in_order(spans: Sequence[Seen], above: Seen, depth: int) -> Iterator[tuple[int, Seen]]:
    yield depth, above
    for span in sorted(spans, key=lambda span: span.begin_ns):
        if span.parent_id == above.span_id:
            yield from _in_order(spans, span, depth + 1)


def _words(span: Seen) -> str:
    took = f"{(span.end_ns - span.begin_ns) / 1e6:.2f} ms"
    told = [f"{name.rpartition('.')[2]} {span.attributes[name]}" for name in TOLD if name in span.attributes]
    return ", ".join([took, *told])


def record() -> list[Seen]:
    """The spans of one call to the demo server."""
    with tempfile.TemporaryDirectory() as folder, collecting() as collector:
        flags = ("--demo", "--traces.enabled", "--traces.endpoint", collector.endpoint)
        steps = ("--engine.max-num-seqs", 8, "--engine.max-num-batched-tokens", 64)
        with serving(Path(folder) / "log", *flags, *steps) as server:
            models = server.models.ListModels(models_pb2.ListModelsRequest()).models
            name = next(model.name for model in models if "generate" in model.capabilities)
            chat = pb.Chat(messages=[pb.ChatMessage(role="user", content="Where is my order? " * 12)])
            asked = pb.GenerateRequest(model=name, chat=chat, stopping=pb.Stopping(max_tokens=16))
            list(server.generation.Generate(asked, timeout=60))  # warms the machine
            chat.messages[0].content = "When does my parcel come? " * 12
            asked.chat.CopyFrom(chat)
            list(server.generation.Generate(asked, timeout=60))
            server.terminate()
            server.wait()
        trace = collector.roots()[-1].trace_id
        return [span for span in collector.spans if span.trace_id == trace]


if __name__ == "__main__":
    TARGET.write_text(draw(record()), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(REPOSITORY)}")
