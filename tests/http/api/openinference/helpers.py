"""A real server that speaks the Open Inference Protocol over gRPC and HTTP, and short ways to ask it over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from attendant.http.api.door import Limits
from attendant.http.app import http_app
from attendant.http.server import HttpServer
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart
from attendant.rpc.openinference.contents import raw_of, read_raw
from attendant.rpc.openinference.datatypes import KINDS
from attendant.settings import HttpSettings

from tests.frontend.generation.helpers import num_active, wait_until
from tests.http.loop import HANGS_S
from tests.rpc.openinference.helpers import Server, serving

LENGTH = "inference-header-content-length"
Input = tuple[str, Any, np.ndarray]


@dataclass
class Both:
    """What a test talks to: the gRPC half, and the REST half of the same models."""

    grpc: Server
    http: httpx.AsyncClient
    address: str

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """``body``: an object, which is sent as JSON, or bytes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return await self.http.post(path, content=content, **options)


@asynccontextmanager
async def both(*models: EncoderPart | GeneratorPart, limits: Limits | None = None) -> AsyncIterator[Both]:
    """A server of these models."""
    async with serving(*models) as server:
        rpc, front_end = server.rpc, server.front_end
        app = http_app(
            Metrics(),
            lambda: rpc.health.serving,
            front_end=lambda: front_end,
            limits=limits,
            inference=lambda: rpc.inference,
        )
        listening = HttpServer(HttpSettings(port=0), app)
        address = listening.bind()
        await listening.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=HANGS_S, trust_env=False) as client:
                yield Both(server, client, address)
        finally:
            await listening.stop()


def with_both(
    test: Callable[[Both], Awaitable[None]], *models: EncoderPart | GeneratorPart, limits: Limits | None = None
) -> None:
    """Run ``test`` against a server of these models. Afterwards nothing is generated any more."""

    async def main() -> None:
        async with both(*models, limits=limits) as server:
            await asyncio.wait_for(test(server), 300)
            await wait_until(lambda: num_active(server.grpc.front_end.generation) == 0)

    asyncio.run(main())


def in_json(*inputs: Input, nested: bool = False, **fields: Any) -> dict[str, Any]:
    """A request to infer with its tensors in JSON. ``nested``: as their shapes are."""
    told = []
    for name, datatype, values in inputs:
        data = (values if nested else values.ravel()).tolist()
        told.append({"name": name, "datatype": datatype, "shape": list(values.shape), "data": _texts(data)})
    return {"inputs": told, **fields}


def in_binary(*inputs: Input, **fields: Any) -> tuple[bytes, dict[str, str]]:
    """The same with its tensors after the JSON: body and headers."""
    told, parts = [], []
    for name, datatype, values in inputs:
        parts.append(raw_of(values, datatype))
        size = {"binary_data_size": len(parts[-1])}
        told.append({"name": name, "datatype": datatype, "shape": list(values.shape), "parameters": size})
    head = json.dumps({"inputs": told, **fields}).encode()
    return b"".join((head, *parts)), {LENGTH: str(len(head))}


def tensors(answer: httpx.Response) -> dict[str, np.ndarray]:
    """The tensors of an answer by name, however they came."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    place, found = length, {}
    for output in json.loads(answer.content[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        datatype, shape = output["datatype"], tuple(output["shape"])
        if size is None:
            flat = [each.encode() if isinstance(each, str) else each for each in output["data"]]
            found[output["name"]] = np.array(flat, KINDS[datatype].dtype).reshape(shape)
        else:
            found[output["name"]] = read_raw(answer.content[place : place + size], datatype, shape, output["name"])
            place += size
    assert place == len(answer.content), "nothing is left over"
    return found


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether tensors are the same to the bit, in the same order."""
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tolist() == other[name].tolist()
        for name in one
    )


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and words of an answer that tells an error as the protocol does."""
    told = answer.json()
    assert list(told) == ["error"], told
    return answer.status_code, told["error"]


def events_of(text: str) -> list[dict[str, Any]]:
    """The objects of a whole stream of events."""
    parts = text.split("\n\n")
    assert parts.pop() == "", "the last event is whole"
    assert all(part.startswith("data: ") for part in parts)
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def _texts(data: Sequence[Any]) -> list[Any]:
    return [_texts(x) if isinstance(x, list) else x.decode() if isinstance(x, bytes) else x for x in data]
