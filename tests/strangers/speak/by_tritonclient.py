"""Triton's Python client, used as its users do."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import tritonclient.grpc as triton
from loop import answer


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("tritonclient", "protobuf")}


def is_live() -> Any:
    return client.is_server_live()


if __name__ == "__main__":
    client = triton.InferenceServerClient(sys.argv[1])
    answer({"versions": versions, "is_live": is_live})
