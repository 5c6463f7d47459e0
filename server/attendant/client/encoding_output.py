"""Results of models that encode, for people or as lines of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
from attendant_proto.v1 import encoding_pb2 as pb
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from attendant.client.terminal import printable

SHOWN_NUMBERS = 6
SHOWN_CHARACTERS = 60
MAX_COMPARED = 12


class Output:
    """Writes results to standard output as they come."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._vectors: list[Sequence[float]] = []

    def embedding(self, name: str, result: pb.Embedding) -> None:
        """A vector; after several, :meth:`end` adds how alike they are."""
        if self._as_json:
            return self._json({"input": name}, result)
        for token in result.tokens:
            span = name[token.span.start : token.span.end]
            self._line(f"{token.token_id:>7}  {_span(token.span):>9}  {_numbers(token.values)}  {_short(span)}")
        if not result.tokens:
            self._vectors.append(result.values)
            self._line(f"{len(result.values)} numbers  {_numbers(result.values)}  {_short(name)}")
        return None

    def labels(self, name: str, result: pb.Classification) -> None:
        """Labels, best first."""
        if self._as_json:
            return self._json({"input": name}, result)
        return self._line(f"{'  '.join(f'{x.label} {x.score:.4f}' for x in result.labels)}  {_short(name)}")

    def entities(self, name: str, result: pb.TokenClassification) -> None:
        """A text and its spans."""
        if self._as_json:
            return self._json({"input": name}, result)
        self._line(_short(name))
        for entity in result.entities:
            self._line(f"  {entity.label:<8} {entity.score:.4f}  {_span(entity.span):>9}  {entity.text}")
        return None

    def answers(self, name: str, result: pb.Answers) -> None:
        """Answers, best first."""
        if self._as_json:
            return self._json({"question": name}, result)
        for found in result.answers:
            self._line(f"{found.score:.4f}  {_span(found.span):>9}  {found.text or '(no answer)'}")
        return None

    def ranking(self, name: str, result: pb.RerankResponse) -> None:
        """Documents, best first."""
        if self._as_json:
            return self._json({"query": name}, pb.RerankResponse(results=result.results))
        for ranked in result.results:
            self._line(f"{ranked.score:.4f}  {ranked.index:>4}  {_short(ranked.document)}")
        return None

    def masks(self, name: str, result: pb.FilledText) -> None:
        """Fills of each mask."""
        if self._as_json:
            return self._json({"input": name}, result)
        for mask in result.masks:
            for fill in mask.fills:
                self._line(f"{fill.score:.4f}  {_span(mask.span):>9}  {fill.token:<12}  {_short(fill.text)}")
        return None

    def transcript(self, name: str, result: pb.Transcript) -> None:
        """What was said."""
        if self._as_json:
            return self._json({"input": name}, result)
        return self._line(result.text)

    def end(self) -> None:
        """Ends the output: with cosines between vectors, if there are some and not too many."""
        if not 2 <= len(self._vectors) <= MAX_COMPARED:
            return
        vectors = np.array(self._vectors, np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self._line("cosines:")
        for row in vectors @ vectors.T:
            self._line("  ".join(f"{value:6.3f}" for value in row))

    def statistics(self, usage: pb.EncodingUsage) -> str:
        """Token counts and timings in one line."""
        truncated = f" ({usage.num_truncated} inputs truncated)" if usage.num_truncated else ""
        return (
            f"{usage.num_tokens} tokens{truncated}; queue {usage.queue_s * 1000:.1f} ms, preprocess "
            f"{usage.preprocess_s * 1000:.1f} ms, compute {usage.compute_s * 1000:.1f} ms, total "
            f"{usage.total_s * 1000:.1f} ms"
        )

    def _json(self, name: dict[str, str], result: Message) -> None:
        values = MessageToDict(result, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        print(json.dumps({**name, **values}, ensure_ascii=False), flush=True)

    def _line(self, text: str) -> None:
        print(printable(text) if sys.stdout.isatty() else text, flush=True)


def _numbers(values: Sequence[float]) -> str:
    shown = " ".join(f"{value:.4f}" for value in values[:SHOWN_NUMBERS])
    return f"[{shown}{' ...' if len(values) > SHOWN_NUMBERS else ''}]"


def _span(span: pb.Span) -> str:
    return f"{span.start}:{span.end}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 3] + "..."
