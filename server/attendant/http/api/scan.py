"""How much there is in a JSON text, counted before it is parsed: a parser keeps everybody else waiting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from attendant.core.errors import TooLarge
from attendant.core.json_values import MOST_VALUES

MOST_KEYS = 2**15
"""Names of fields in a body, each of which may be one that is not known."""

_CHUNK = 2**20  # bytes that are looked at together
_QUOTE, _BACKSLASH = ord('"'), ord("\\")

Bytes = npt.NDArray[np.uint8]


def check_amount(body: bytes) -> None:
    """See that parsing a body does not hold up everybody else for long. To be called in a thread: numpy leaves the
    interpreter to others.

    Raises:
        TooLarge: it has more values, or more names of fields, than the server reads.
    """
    values = keys = 0
    for text in _outside_strings(body):
        values += sum(int(np.count_nonzero(text == ord(mark))) for mark in ",[{")
        keys += int(np.count_nonzero(text == ord(":")))
        if values > MOST_VALUES:
            raise TooLarge("body", f"has more than {MOST_VALUES:,} values; allowed: at most so many")
        if keys > MOST_KEYS:
            raise TooLarge("body", f"has more than {MOST_KEYS:,} names of fields; allowed: at most so many")


def _outside_strings(body: bytes) -> Iterator[Bytes]:
    """The bytes that are in no string, chunk by chunk, with the quotes around strings. Each: [n] uint8."""
    within = escapes = False
    for begin in range(0, len(body), _CHUNK):
        # a backslash at the end of a chunk that escapes what follows is looked at again with that
        text = np.frombuffer((b"\\" if escapes else b"") + body[begin : begin + _CHUNK], np.uint8)
        quotes = text == _QUOTE
        slashes = text == _BACKSLASH
        escapes = False
        if slashes.any():
            length = _run_lengths(slashes)  # of backslashes that end at each place
            quotes[1:] &= length[:-1] % 2 == 0
            escapes = bool(length[-1] % 2)
        inside = np.cumsum(quotes, dtype=np.uint8) & 1  # counts around, which keeps what is odd
        if within:
            inside ^= 1
        within = bool(inside[-1])
        yield text[inside == 0]


def _run_lengths(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """How many in a row are marked up to each place. marks: [n]; result: [n] int32."""
    places = np.arange(1, len(marks) + 1, dtype=np.int32)
    last = np.maximum.accumulate(np.where(marks, 0, places))
    return (places - last).astype(np.int32)
