"""What would become of a request, and the time that its first token has."""

from __future__ import annotations

import grpc
import pytest
from attendant.core.context import CallContext
from attendant.core.estimate import Estimate
from attendant.core.generation import GenerationCall
from attendant_proto.v1 import generation_pb2, generation_pb2_grpc

from tests.rpc.test_context import FINISH, FakeService, connected, failure, run

TARGET = "x-llm-d-slo-ttft-ms"


class Estimating(FakeService):
    """One whose calls would be late."""

    async def estimate(self, call: GenerationCall, context: CallContext) -> Estimate:
        self.contexts.append(context)
        return Estimate(True, 1.5, 2.25, False, "model 'm' is busy", 0.75, 3, 400)


def target_s(context: CallContext) -> float | None:
    by_ns = context.first_token_by_ns
    return None if by_ns is None else (by_ns - context.arrival_ns) / 1e9


def test_an_estimate_says_what_would_become_of_a_request() -> None:
    async def test() -> None:
        service = Estimating(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            told = await stub.Estimate(generation_pb2.GenerateRequest(text="x", ttft_target_s=0.25))
        assert told == generation_pb2.EstimateResponse(
            known=True,
            first_token_s=1.5,
            end_s=2.25,
            refusal="model 'm' is busy",
            retry_after_s=0.75,
            requests_ahead=3,
            tokens_ahead=400,
        )
        assert [target_s(context) for context in service.contexts] == [0.25]

    run(test)


def test_a_target_comes_by_the_field_and_by_the_metadata() -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            for said, came in ((None, None), (0.5, None), (None, "250"), (0.5, "250.5"), (0.125, "250")):
                metadata = ((TARGET, came),) if came else ()
                request = generation_pb2.GenerateRequest(text="x", ttft_target_s=said)
                assert [response async for response in stub.Generate(request, metadata=metadata)]
        assert [target_s(context) for context in service.contexts] == [None, 0.5, 0.25, 0.2505, 0.125]

    run(test)


@pytest.mark.parametrize(
    ("said", "came", "field"),
    [
        (0.0, None, "ttft_target_s"),
        (-1.0, None, "ttft_target_s"),
        (float("nan"), None, "ttft_target_s"),
        (None, "soon", TARGET),
        (None, "0", TARGET),
    ],
)
def test_a_target_that_is_none_is_refused_by_name(said: float | None, came: str | None, field: str) -> None:
    async def test() -> None:
        service = FakeService(FINISH)
        async with connected(service) as channel:
            stub = generation_pb2_grpc.GenerationStub(channel)
            request = generation_pb2.GenerateRequest(text="x", ttft_target_s=said)
            caught = await failure(stub.Generate(request, metadata=((TARGET, came),) if came else ()))
            assert caught.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert (caught.details() or "").startswith(field)
        assert not service.contexts

    run(test)
