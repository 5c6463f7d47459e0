"""Streams that outlive their server: where one breaks, another call goes on after the last token that came.

The rest is what the server that has gone would have sent, byte for byte: a model's answer depends on its prompt, its
settings and its seed, and of the server only on what it serves, and on what kind of device.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

import grpc
from attendant_proto.v1.generation_pb2 import GenerateRequest, GenerateResponse, Resume

from attendant.client.connection import REQUEST_ID_KEY

Metadata = Sequence[tuple[str, str | bytes]]

ATTEMPTS = 5
"""Calls in a row that bring nothing new, before the last error is raised."""

BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED)
"""What a stream ends with that was reset on its way."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
_PUSHBACK = "grpc-retry-pushback-ms"


class Stub(Protocol):
    """A stub of ``attendant.v1.Generation``. Through its channel the next call has to reach another server: it leads to
    a balancer, or has the policy ``round_robin``."""

    Generate: Any


def generate(
    stub: Stub, request: GenerateRequest, *, timeout: float | None = None, metadata: Metadata = ()
) -> Iterator[GenerateResponse]:
    """The responses to a request, whatever becomes of the server that sends them.

    Args:
        stub: over a channel of ``grpc``.
        request: is left as it is. One without a seed gets one. With ``n`` above 1, sequences whose stream broke come
            one after the other.
        timeout: in seconds, of everything together; None for none.

    Yields:
        What ``Generate`` does. The rest of a text that was held back comes together with the end of its sequence.

    Raises:
        grpc.RpcError: as a call without a break does; UNAVAILABLE after ``ATTEMPTS`` calls that brought nothing new.
    """
    answer = _Answer(request, timeout)
    while wanted := answer.next_request():
        call = stub.Generate(wanted, timeout=answer.left_s(), metadata=metadata)
        try:
            for response in call:
                yield from answer.take(response)
        except grpc.RpcError as error:
            time.sleep(answer.pause_s(error))
        finally:  # also if the caller has enough
            call.cancel()


async def agenerate(
    stub: Stub,
    request: GenerateRequest,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - the word of gRPC's calls
    metadata: Metadata = (),
) -> AsyncIterator[GenerateResponse]:
    """The same, over a channel of ``grpc.aio``."""
    answer = _Answer(request, timeout)
    while wanted := answer.next_request():
        call = stub.Generate(wanted, timeout=answer.left_s(), metadata=metadata)
        try:
            async for response in call:
                for part in answer.take(response):
                    yield part
        except grpc.RpcError as error:
            await asyncio.sleep(answer.pause_s(error))
        finally:
            call.cancel()


class _Answer:
    """What has come of an answer, and which call brings what is missing."""

    def __init__(self, request: GenerateRequest, timeout: float | None) -> None:
        self._request = GenerateRequest()
        self._request.CopyFrom(request)
        if not request.sampling.HasField("seed"):
            self._request.sampling.seed = secrets.randbits(64)
        self._end_s = None if timeout is None else time.monotonic() + timeout
        self._tokens: dict[int, list[int]] = {}
        self._held: dict[int, list[GenerateResponse]] = {}  # what came after the last token: it comes again
        self._missing = set(range(max(request.n, 1)))
        self._failures = 0

    def next_request(self) -> GenerateRequest | None:
        """What to ask for; None: all is there."""
        if not self._missing:
            return None
        self._held.clear()
        if not self._tokens and len(self._missing) == max(self._request.n, 1):
            return self._request
        index = min(self._missing)
        resumed = GenerateRequest()
        resumed.CopyFrom(self._request)
        resumed.n = 1
        before = self._request.resume  # the request itself may go on with an answer
        received = [*before.token_ids, *self._tokens.get(index, ())]
        resumed.resume.CopyFrom(Resume(token_ids=received, index=before.index + index))
        return resumed

    def left_s(self) -> float | None:
        """Seconds that the next call has."""
        return None if self._end_s is None else max(self._end_s - time.monotonic(), 0.0)

    def take(self, response: GenerateResponse) -> Iterator[GenerateResponse]:
        """What the caller gets now."""
        index = response.index - self._request.resume.index
        if response.HasField("finish"):
            yield from self._held.pop(index, ())
            self._missing.discard(index)
            yield response
        elif response.token_ids:
            self._tokens.setdefault(index, []).extend(response.token_ids)
            self._failures = 0
            yield response
        else:
            self._held.setdefault(index, []).append(response)

    def pause_s(self, error: Any) -> float:
        """How long to wait before the next call. Raises the error if there is to be none."""
        self._failures += 1
        if not _breaks(error) or self._failures >= ATTEMPTS:
            raise error
        longest_s: float = min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        pause = max(random.uniform(0.5, 1.0) * longest_s, _pushback_s(error))
        left = self.left_s()
        if left is not None and left <= pause:
            raise error
        return pause


def _breaks(error: Any) -> bool:
    """Whether a call ended for no reason of its own: the server cannot go on, or the way to it broke, which gateways
    say in several ways. What the server itself says comes with the call's id."""
    code = error.code() if callable(getattr(error, "code", None)) else None
    if code is grpc.StatusCode.UNAVAILABLE:
        return True
    said = {key for key, _ in error.trailing_metadata() or ()} if code in BROKEN else {REQUEST_ID_KEY}
    return REQUEST_ID_KEY not in said


def _pushback_s(error: Any) -> float:
    """Seconds after which the server that refused wants to be asked again: another one may be asked before, so that at
    most a second counts."""
    for key, value in error.trailing_metadata() or ():
        if key == _PUSHBACK and str(value).isdigit():
            return min(int(value) / 1000, 1.0)
    return 0.0
