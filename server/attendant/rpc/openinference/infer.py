"""One request to infer, whichever way it came: found, read, answered, written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded
from attendant.rpc.openinference.models import Found, Models
from attendant.rpc.openinference.options import FINAL, Terms
from attendant.rpc.openinference.ports import InferAnswer, InferCall, SinglePort
from attendant.rpc.openinference.reading import infer_call
from attendant.rpc.openinference.writing import empty_response, infer_response
from attendant.rpc.sizes import LARGE_REQUEST

MANY_ELEMENTS = 2_000
"""Of a response, which are written one by one, from which on that is done in a thread."""


class Inference:
    """A request whose model was found. Raises what :meth:`Models.of_request` raises."""

    def __init__(self, models: Models, request: pb.ModelInferRequest) -> None:
        self._request = request
        self._found: Found = models.of_request(request)

    @property
    def decoupled(self) -> bool:
        """Whether there may be any number of responses."""
        return self._found.port.decoupled

    async def single(self, context: CallContext) -> pb.ModelInferResponse:
        """The only response. Asked to tell the end of the request, as perf_analyzer always does, it says that it is the
        last.

        Raises:
            StreamNeeded: the request asks for several.
            AttendantError: refused, or failed.
        """
        call, terms = await self._read()
        port = self._found.port
        if isinstance(port, SinglePort) and not terms.timeout_us:
            answer = await port.only(call, terms.of_call(context))
        else:
            async with aclosing(self._answers(call, terms, context, alone=True)) as answers:
                answer = await anext(answers)
        response = await self._response(call, terms, answer)
        if terms.empty_final:
            response.parameters[FINAL].bool_param = True
        return response

    async def streamed(self, context: CallContext) -> AsyncGenerator[pb.ModelInferResponse, None]:
        """Each response; its parameter ``triton_final_response`` says whether it is the last. A request of a model that
        gives one response has that flag with it; of others, an empty response has it where that is asked for."""
        call, terms = await self._read()
        alone, separate = not self.decoupled, self.decoupled and terms.empty_final
        async with aclosing(self._answers(call, terms, context, alone=False)) as answers:
            async for answer in answers:
                response = await self._response(call, terms, answer)
                response.parameters[FINAL].bool_param = alone or (answer.last and not separate)
                yield response
        if separate:
            last = empty_response(self._request, self._found.version)
            last.parameters[FINAL].bool_param = True
            yield last

    async def _read(self) -> tuple[InferCall, Terms]:
        request, found = self._request, self._found
        if _takes_long(request):
            return await asyncio.to_thread(infer_call, request, found.name, found.port)
        return infer_call(request, found.name, found.port)

    async def _answers(
        self, call: InferCall, terms: Terms, context: CallContext, *, alone: bool
    ) -> AsyncGenerator[InferAnswer, None]:
        context = terms.of_call(context)
        async with aclosing(self._found.port.answer(call, context, alone=alone)) as answers:
            if not terms.timeout_us:
                async for answer in answers:
                    yield answer
                return
            assert context.deadline_ns is not None, "the request has one"
            ends = asyncio.get_running_loop().time() + (context.deadline_ns - time.monotonic_ns()) / 1e9
            while True:
                try:
                    async with asyncio.timeout_at(ends):
                        answer = await anext(answers)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise DeadlineExceeded("the request's timeout passed before its answer was complete") from None
                yield answer

    async def _response(self, call: InferCall, terms: Terms, answer: InferAnswer) -> pb.ModelInferResponse:
        raw = bool(terms.raw)
        one_by_one = sum([each.values.size for each in answer.outputs if each.datatype == "BYTES" or not raw])
        if one_by_one > MANY_ELEMENTS:
            write = partial(infer_response, self._request, self._found.version, call, answer, raw=raw)
            return await asyncio.to_thread(write)
        return infer_response(self._request, self._found.version, call, answer, raw=raw)


Begin = Callable[[pb.ModelInferRequest], Inference]


def _takes_long(request: pb.ModelInferRequest) -> bool:
    """Whether a request is large, but for numbers that need no reading."""
    raw = request.raw_input_contents
    if not raw:
        return bool(request.ByteSize() > LARGE_REQUEST)
    places = [place for place, each in enumerate(request.inputs) if each.datatype == "BYTES" and place < len(raw)]
    return sum([len(raw[place]) for place in places]) > LARGE_REQUEST
