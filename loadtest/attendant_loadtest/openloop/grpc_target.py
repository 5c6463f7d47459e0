"""Requests of attendant.v1, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from attendant.client.access import Access
from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import generation_pb2_grpc

from attendant_loadtest.openloop.samples import ANSWERED, CANCELLED, FAILED, LATE, REFUSED, Sample
from attendant_loadtest.schedule.planned import Planned, tokens_of

CONNECTIONS = 4
"""Over which calls are spread: a connection carries only so many at once."""

_HOW = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: REFUSED,
    grpc.StatusCode.DEADLINE_EXCEEDED: LATE,
}


@dataclass(frozen=True, slots=True)
class GrpcTarget:
    """A model of a server. Make one with :func:`connected`.

    Attributes:
        generate: the method of each connection.
        vocab: ids that prompts are made of.
        metadata: that each call carries.
    """

    generate: tuple[Any, ...]
    model: str
    vocab: range
    seed: int
    metadata: tuple[tuple[str, str], ...] = ()

    def prepare(self, planned: Planned) -> tuple[Any, pb.GenerateRequest]:
        """See Target."""
        request = pb.GenerateRequest(
            model=self.model,
            token_ids=pb.TokenIds(ids=tokens_of(planned.segments, self.vocab, self.seed)),
            stopping=pb.Stopping(max_tokens=planned.answer, ignore_eos=True),
            sampling=pb.Sampling(temperature=0),
            priority=planned.priority,
            no_special_tokens=True,
        )
        return self.generate[hash(planned.segments) % len(self.generate)], request

    async def ask(
        self,
        prepared: tuple[Any, pb.GenerateRequest],
        planned: Planned,
        sample: Sample,
        now_s: Callable[[], float],
    ) -> None:
        """See Target."""
        generate, request = prepared
        timeout_s = None if planned.deadline_s is None else planned.at_s + planned.deadline_s - now_s()
        call = generate(request, timeout=timeout_s, metadata=self.metadata or None)
        try:
            async for response in call:
                if tokens := len(response.token_ids):
                    sample.take(now_s(), tokens)
                if response.HasField("finish"):
                    sample.prompt_tokens = response.finish.usage.prompt_tokens
                    sample.server_first_s = response.finish.timings.first_token_s
                if planned.cancel_after is not None and sample.tokens >= planned.cancel_after:
                    call.cancel()
                    sample.how = CANCELLED
                    return
            sample.how = ANSWERED
        except grpc.aio.AioRpcError as error:
            sample.how = _HOW.get(error.code(), FAILED)
            if sample.how == FAILED:
                sample.error = f"{error.code().name}: {(error.details() or '').strip()[:200]}"
        except asyncio.CancelledError:
            call.cancel()
            raise


@asynccontextmanager
async def connected(
    address: str, model: str, vocab_size: int, seed: int, access: Access | None = None
) -> AsyncIterator[GrpcTarget]:
    """A model of the server at ``address`` (host:port), over connections that end with the block."""
    access = access or Access()
    # Channels with equal options share connections otherwise.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    if access.tls:
        credentials = grpc.ssl_channel_credentials(access.ca, access.key, access.certificate)
        channels = [grpc.aio.secure_channel(address, credentials, options) for _ in range(CONNECTIONS)]
    else:
        channels = [grpc.aio.insecure_channel(address, options) for _ in range(CONNECTIONS)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        stubs = [generation_pb2_grpc.GenerationStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
        vocab = range(min(1000, vocab_size // 2), vocab_size)
        metadata = (("authorization", f"Bearer {access.token}"),) if access.token else ()
        yield GrpcTarget(tuple(stub.Generate for stub in stubs), model, vocab, seed, metadata)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
