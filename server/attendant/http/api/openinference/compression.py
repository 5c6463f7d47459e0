"""Bodies in gzip or deflate: read up to a limit, whatever they promise, and written for callers who ask for it."""

from __future__ import annotations

import asyncio
import gzip
import re
import zlib

from starlette.datastructures import Headers
from starlette.requests import Request

from attendant.core.errors import InvalidRequest, TooLarge
from attendant.http.api.bodies import MOST_BYTES, content_coding
from attendant.http.api.hearing import Hearing
from attendant.http.errors import CONTENT_ENCODING

_EITHER = 32 + zlib.MAX_WBITS  # gzip or zlib, as the data says
CODINGS = ("gzip", "deflate")

_NO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?", re.IGNORECASE)

WORTHWHILE = 1024
"""Bytes from which on an answer is compressed."""


async def inflated(request: Request, body: bytes) -> bytes:
    """The body that was meant.

    Raises:
        InvalidRequest: a coding that is not known, or what is no such data, or more than that.
        TooLarge: it has more bytes than a body may have that is not compressed.
    """
    coding = content_coding(request)
    if not coding:
        return body
    if coding not in CODINGS:
        raise InvalidRequest(CONTENT_ENCODING, f"is {coding[:100]!r}; allowed: {', '.join(CODINGS)}")
    hearing = Hearing.of(request)
    return await asyncio.to_thread(_inflate, body, coding, MOST_BYTES if hearing is None else hearing.most_bytes)


def coding_of(headers: Headers) -> str:
    """The coding that a caller wants: the one that it names. Who lists several says what it could read, as browsers and
    libraries always do, and not that it wants to wait for it: that is none. So is one of the weight 0."""
    name, _, weight = headers.get("accept-encoding", "").partition(";")
    coding = name.strip().lower()
    return coding if coding in CODINGS and "," not in weight and not _NO_WEIGHT.fullmatch(weight.strip()) else ""


async def deflated(body: bytes, coding: str) -> bytes:
    """``body`` in a coding of :data:`CODINGS`."""
    compress = gzip.compress if coding == "gzip" else zlib.compress
    return await asyncio.to_thread(compress, body, 1)


def _inflate(body: bytes, coding: str, most: int) -> bytes:
    inflater = zlib.decompressobj(_EITHER)
    try:
        found = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidRequest("body", f"is not {coding}: {error}") from None
    if len(found) > most:
        raise TooLarge("body", f"has more than {most:,} bytes when it is inflated, which is the limit")
    if not inflater.eof or inflater.unused_data:
        how = "has more after its end" if inflater.eof else "ends too early"
        raise InvalidRequest("body", f"is not {coding} to its end: it {how}")
    return found
