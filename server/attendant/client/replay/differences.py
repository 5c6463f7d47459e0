"""What differs between two answers, between what made them, and between what held for them. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from attendant_proto.v1 import encoding_pb2, generation_pb2, receipt_pb2

from attendant.traffic.calls import KeptCall
from attendant.traffic.digests import bare

_MISSING = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """One place where an answer is another.

    Attributes:
        where: in words: a sequence's token, or a field of the response.
        before, after: what stands there, in words.
        token: of a sequence, the index of the first token that differs; None in other answers.
        token_ids: the tokens before and after at this index; None where one of both has ended.
        texts: the whole answers, before and after.
    """

    where: str
    before: str
    after: str
    token: int | None = None
    token_ids: tuple[int | None, int | None] = (None, None)
    texts: tuple[str, str] = ("", "")


def first_difference(before: Sequence[Any], after: Sequence[Any]) -> int | None:
    """The first index at which two sequences differ, or one of them has ended; None if they are equal."""
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return index
    return None if len(before) == len(after) else min(len(before), len(after))


def answer_changes(before: KeptCall, after: KeptCall) -> list[Change]:
    """What is another in the second call's answer; nothing if they are equal to the bit."""
    if before.call == "generate":
        return list(_sequence_changes(before.responses, after.responses))
    changes = []
    for one, other in zip(before.responses, after.responses, strict=True):
        changes += _response_changes(bare(one), bare(other))
    return changes


def _sequence_changes(before: Sequence[Any], after: Sequence[Any]) -> Iterator[Change]:
    if len(before) != len(after):
        yield Change("number of sequences", str(len(before)), str(len(after)))
    for one, other in zip(before, after, strict=False):
        name = f"sequence {one.index}, " if len(before) > 1 else ""
        texts = (one.text, other.text)
        index = first_difference(one.token_ids, other.token_ids)
        if index is not None:
            ids = (_at(one.token_ids, index), _at(other.token_ids, index))
            before_id, after_id = (_MISSING if token is None else str(token) for token in ids)
            yield Change(f"{name}token {index}", before_id, after_id, index, ids, texts)
        elif one.text != other.text:
            yield Change(f"{name}text", one.text, other.text, texts=texts)
        elif one.finish.reason != other.finish.reason:
            name_of = generation_pb2.FinishReason.Name
            yield Change(f"{name}end", name_of(one.finish.reason), name_of(other.finish.reason), texts=texts)


def _response_changes(before: Any, after: Any) -> list[Change]:
    """The first field that differs; of vectors, how far they are apart at most."""
    if before.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True):
        return []
    found = next(_fields("", before, after), None)
    if found is None:  # numbers that are equal and not the same: 0 and -0
        return [Change("bits", "equal numbers", "with other bits")]
    if isinstance(before, encoding_pb2.EmbedResponse) and (apart := _furthest(before, after)) is not None:
        return [found, Change("vectors", "largest difference", f"{apart:.3g}")]
    return [found]


def _fields(path: str, before: Any, after: Any) -> Iterator[Change]:
    """Fields of two messages of a kind that differ, in the order of the message."""
    for field in before.DESCRIPTOR.fields:
        one, other = getattr(before, field.name), getattr(after, field.name)
        name = f"{path}.{field.name}" if path else field.name
        is_message = field.message_type is not None
        if isinstance(one, str | bytes | int | float):
            if one != other:
                yield Change(name, repr(one), repr(other))
        elif is_message and hasattr(one, "DESCRIPTOR"):
            yield from _fields(name, one, other)
        else:
            yield from _repeated(name, one, other, is_message=is_message)


def _repeated(name: str, before: Sequence[Any], after: Sequence[Any], *, is_message: bool) -> Iterator[Change]:
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            if is_message:
                yield from _fields(f"{name}[{index}]", one, other)
            else:
                yield Change(f"{name}[{index}]", repr(one), repr(other))
    if len(before) != len(after):
        yield Change(f"number of {name}", str(len(before)), str(len(after)))


def _furthest(before: encoding_pb2.EmbedResponse, after: encoding_pb2.EmbedResponse) -> float | None:
    """The largest difference of two numbers at one place; None where vectors have other lengths."""
    pairs = [(x.values, y.values) for x, y in zip(before.embeddings, after.embeddings, strict=False) if x.values]
    if not pairs or any(len(one) != len(other) for one, other in pairs):
        return None
    return max(float(np.abs(np.subtract(one, other, dtype=np.float64)).max()) for one, other in pairs)


def maker_changes(before: receipt_pb2.Maker, after: receipt_pb2.Maker) -> list[Change]:
    """What makes answers in another way. Threads are left out: no bit depends on them."""
    changes = []
    for name in ("model", "version", "bundle", "precision", "server", "processor"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            changes.append(Change(name, one or _MISSING, other or _MISSING))
    for name in sorted({*before.libraries, *after.libraries}):
        one, other = before.libraries.get(name, _MISSING), after.libraries.get(name, _MISSING)
        if one != other:
            changes.append(Change(name, one, other))
    return changes


def asked_changes(before: receipt_pb2.Receipt, after: receipt_pb2.Receipt) -> list[Change]:
    """What held in another way for two answers to the same request: settings, and what went into the model."""
    changes = []
    old, new = _settings(before), _settings(after)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            changes.append(Change(f"setting {name}", _told(old, name), _told(new, name)))
    if before.input != after.input:
        changes.append(Change("input", before.input or _MISSING, after.input or _MISSING))
    return changes


def _settings(receipt: receipt_pb2.Receipt) -> dict[str, Any]:
    found = json.loads(receipt.settings) if receipt.settings else {}
    return found if isinstance(found, dict) else {}


def _told(settings: dict[str, Any], name: str) -> str:
    return json.dumps(settings[name]) if name in settings else "off"


def _at(tokens: Sequence[int], index: int) -> int | None:
    return tokens[index] if index < len(tokens) else None
