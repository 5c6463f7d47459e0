"""How two processes of one machine hand each other objects: one frame each over a socket, large arrays as they are."""

from __future__ import annotations

import io
import pickle
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

_HEADER = struct.Struct("<II")
"""Bytes of the pickle, and how many buffers follow it."""
_LARGE = 16 * 1024
"""Bytes from which on an array leaves the pickle and goes from its memory into the socket, and from there into its
new memory: no other copy is made."""
_PARTS = 512
"""Parts that one call of the system takes; Linux allows 1,024."""


class Link:
    """One end of a pair of connected sockets. Any thread may send; one receives.

    Both ends belong to one program: what is received is unpickled, which runs what the sender says.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._reader = io.BufferedReader(end.makefile("rb", buffering=0), 64 * 1024)
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Hand an object over. Blocks while the other end is behind.

        Raises:
            OSError: there is no other end any more.
        """
        self.send_packed(packed(message))

    def send_packed(self, parts: list[memoryview]) -> None:
        """The same of what :func:`packed` made of an object."""
        with self._sending:
            _send_all(self._socket, parts)

    def receive(self) -> Any:
        """The next object, for which it waits; arrays in it can be written.

        Raises:
            EOFError: the other end has closed, or its process has ended.
        """
        size, num_buffers = _HEADER.unpack(self._exactly(_HEADER.size))
        sizes = struct.unpack(f"<{num_buffers}Q", self._exactly(8 * num_buffers)) if num_buffers else ()
        pickled = self._exactly(size)
        return pickle.loads(pickled, buffers=[self._exactly(length) for length in sizes])

    def close(self) -> None:
        """End it, for both sides and whoever waits here."""
        with suppress(OSError):  # the other end was quicker
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self._socket.close()

    def _exactly(self, size: int) -> bytearray:
        found = bytearray(size)
        view, filled = memoryview(found), 0
        while filled < size:
            try:
                count = self._reader.readinto(view[filled:])
            except ConnectionError:
                count = 0
            except ValueError as error:  # it was closed here
                raise EOFError("the link is closed") from error
            if not count:
                raise EOFError("the other end is gone")
            filled += count
        return found


def packed(message: object) -> list[memoryview]:
    """An object as the parts of a frame. Arrays among them are looked at when they are sent, not copied.

    Raises:
        Exception: the object cannot be pickled.
    """
    buffers: list[memoryview] = []

    def leaves(buffer: pickle.PickleBuffer) -> bool:
        """Keeps large ones out of the pickle. True is: keep it in."""
        raw = buffer.raw()
        if raw.nbytes < _LARGE:
            return True
        buffers.append(raw)
        return False

    pickled = pickle.dumps(message, protocol=5, buffer_callback=leaves)
    sizes = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    head = _HEADER.pack(len(pickled), len(buffers)) + sizes
    if not buffers:
        return [memoryview(head + pickled)]
    return [memoryview(head), memoryview(pickled), *buffers]


def _send_all(end: socket.socket, parts: list[memoryview]) -> None:
    left = parts
    while left:
        sent = end.sendmsg(left[:_PARTS])
        while left and sent >= left[0].nbytes:
            sent -= left[0].nbytes
            left = left[1:]
        if sent:
            left = [left[0][sent:], *left[1:]]
