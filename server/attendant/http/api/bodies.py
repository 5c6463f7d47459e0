"""What callers of an API send, as JSON: read up to a limit, parsed off the loop where it is long, checked by field."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema
from starlette.requests import ClientDisconnect, Request

from attendant.core.errors import InvalidRequest, RequestCancelled, TooLarge
from attendant.http.api.scan import check_amount
from attendant.http.errors import CONTENT_ENCODING, CONTENT_TYPE

MOST_BYTES = 64 * 1024 * 1024
"""Of a body, unless the settings say otherwise."""

LONG_BODY = 16 * 1024
"""Bytes from which on a body is parsed, and made a call, in a thread: a shorter one takes less than the way to it."""


_MANY = ("list", "tuple", "set", "frozenset", "dict")
_TAG = re.compile(r"str|int|float|bool|bytes|none|dict|(constrained|function|lax|json)-.*|.*\[.*|[A-Z].*", re.DOTALL)
"""What pydantic puts into the place of a fault to say which of several kinds it speaks of."""


def _at_first_fault(schema: Any) -> Any:
    if isinstance(schema, dict):
        found = {name: value if name == "metadata" else _at_first_fault(value) for name, value in schema.items()}
        return found | ({"fail_fast": True} if found.get("type") in _MANY else {})
    return [_at_first_fault(each) for each in schema] if isinstance(schema, list) else schema


class ApiBody(BaseModel):
    """The fields of one call. One that is not declared is refused, as it would be ignored otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema, but for lists and mappings: the first thing that is wrong in them ends the search. There may be a
        million of those."""
        found: CoreSchema = _at_first_fault(handler(source))
        return found


B = TypeVar("B", bound=BaseModel)
C = TypeVar("C")


async def read_bytes(request: Request, most: int | None = None) -> bytes:
    """The body of a request as it came.

    Args:
        most: bytes, where an endpoint takes less than the server does.

    Raises:
        TooLarge: it has more bytes.
        RequestCancelled: the caller hung up in the middle of it.
    """
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if most is not None and size > most:
                raise TooLarge("body", f"has more than {most:,} bytes, which is the limit")
            parts.append(part)
    except ClientDisconnect:
        raise RequestCancelled("the caller has hung up") from None
    return b"".join(parts)


def media_type(request: Request) -> str:
    """What the request says that its body is, without parameters and in small letters; empty if it says nothing."""
    return request.headers.get(CONTENT_TYPE, "").partition(";")[0].strip().lower()


def content_coding(request: Request) -> str:
    """How the request says that its body is compressed, in small letters; empty if it is not."""
    coding = request.headers.get(CONTENT_ENCODING, "").strip().lower()
    return "" if coding == "identity" else coding


def check_media(request: Request, allowed: tuple[str, ...]) -> None:
    """Raises InvalidRequest for a body that is of no ``allowed`` media type ("": none is said), or compressed."""
    media = media_type(request)
    if media not in allowed:
        raise InvalidRequest(CONTENT_TYPE, f"is {media[:100]!r}; allowed: {allowed[0]}")
    if coding := content_coding(request):
        raise InvalidRequest(CONTENT_ENCODING, f"is {coding[:100]!r}; allowed: identity")


async def read_json(request: Request, kind: type[B], most: int | None = None) -> B:
    """The body of a request as a ``kind``.

    Raises:
        TooLarge: it has more than ``most`` bytes, or more than the server takes.
        InvalidRequest: it is no JSON, or a field of it is not as it has to be.
    """
    body, _ = await read_call(request, kind, lambda body: None, most)
    return body


async def read_call(request: Request, kind: type[B], call_of: Callable[[B], C], most: int | None = None) -> tuple[B, C]:
    """The body of a request as a ``kind``, and the call that ``call_of`` makes of it, off the loop as the body is.

    Raises:
        AttendantError: as :func:`read_json`, and as ``call_of``.
    """
    check_media(request, ("application/json", ""))
    raw = await read_bytes(request, most)

    def made() -> tuple[B, C]:
        body = parse(kind, raw)
        return body, call_of(body)

    return await asyncio.to_thread(made) if len(raw) >= LONG_BODY else made()


async def parsed(kind: type[B], body: bytes) -> B:
    """JSON as a ``kind``, in a thread where it is long. Raises what :func:`parse` does."""
    return await asyncio.to_thread(parse, kind, body) if len(body) >= LONG_BODY else parse(kind, body)


def parse(kind: type[B], body: bytes) -> B:
    """JSON as a ``kind``.

    Raises:
        TooLarge: there is more in it than the server reads.
        InvalidRequest: it is no JSON, or a field of it is not as it has to be.
    """
    if len(body) >= LONG_BODY:
        check_amount(body)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise refusal(kind, error) from None


def refusal(kind: type[BaseModel], error: ValidationError) -> InvalidRequest:
    """The first thing that is wrong with a body, without what was sent."""
    faults: list[Any] = error.errors(include_url=False, include_input=False, include_context=False)
    field, first = _place(faults[0]["loc"]), faults[0]
    if first["type"] == "extra_forbidden":
        allowed = f"; allowed: {', '.join(kind.model_fields)}" if len(first["loc"]) == 1 else ""
        return InvalidRequest(field[:100], f"is not known{allowed}")
    if first["type"] == "missing":
        return InvalidRequest(field, "is missing")
    # of a field that may be of several kinds there is a fault for each
    told = dict.fromkeys(
        [fault["msg"] for fault in faults[:20] if _place(fault["loc"][:1]) == _place(first["loc"][:1])]
    )
    return InvalidRequest(field[:100] or "body", f"is not as it has to be: {', or: '.join(told)[:300]}")


def _place(parts: tuple[int | str, ...]) -> str:
    """Where a fault is, as callers write it."""
    kept = [part for part in parts[1:] if isinstance(part, int) or not _TAG.fullmatch(part)]
    return "".join([f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*parts[:1], *kept)]).lstrip(".")
