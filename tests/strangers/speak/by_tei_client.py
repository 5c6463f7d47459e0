"""tei-client, a Python client of Text Embeddings Inference, used as its users do. Each call says which server."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import grpc
from loop import answer
from tei_client import ClassificationTuple, GrpcClient


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("tei-client", "protobuf")}


async def info(address: str) -> dict[str, Any]:
    found = GrpcClient(address).info()
    return found.model_dump(mode="json") | {"type": str(found.server_model_type)}


async def _both(address: str, method: str, *given: Any, **how: Any) -> list[Any]:
    """What a method returns, and what its twin that is awaited does. The client wants a loop for either."""
    client = GrpcClient(address)
    return [getattr(client, method)(*given, **how), await getattr(client, f"async_{method}")(*given, **how)]


async def embed(address: str, texts: list[str], **how: Any) -> list[Any]:
    return [[list(vector) for vector in found] for found in await _both(address, "embed", texts, **how)]


async def embed_all(address: str, texts: list[str]) -> list[Any]:
    return [[[list(vector) for vector in text] for text in found] for found in await _both(address, "embed_all", texts)]


async def tokenize(address: str, texts: list[str]) -> list[Any]:
    return [[text.model_dump()["tokens"] for text in found] for found in await _both(address, "tokenize", texts)]


async def decode(address: str, ids: list[list[int]]) -> Any:
    return GrpcClient(address).decode(ids)


async def classify(address: str, inputs: list[Any]) -> list[Any]:
    pairs = [ClassificationTuple(*text) if isinstance(text, list) else text for text in inputs]
    found = GrpcClient(address).classify(pairs)
    return [[(score.label, score.score) for score in each.scores] for each in found]


async def refused(address: str, method: str, given: list[Any]) -> tuple[str, str]:
    """Code and words of the error that a call ends with."""
    try:
        getattr(GrpcClient(address), method)(*given)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError("it was answered")


if __name__ == "__main__":
    actions: list[Callable[..., Any]] = [versions, info, embed, embed_all, tokenize, decode, classify, refused]
    answer({action.__name__: action for action in actions})
