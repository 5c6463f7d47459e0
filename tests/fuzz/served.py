"""Random calls to one server with all kinds of models: gRPC, HTTP bodies, and what the OpenAPI page describes."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import hypothesis
import schemathesis
from attendant_proto.v1 import models_pb2
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from tests.fuzz.apart import chance_of
from tests.fuzz.asked import HANGS_S, Asker, draw
from tests.http.api.fuzz import NOT_OURS, fuzz
from tests.system.server import ServerProcess

CALLERS = 4
Found = tuple[Counter[str], list[str]]
"""How calls ended, and what was bad."""


def ask_grpc(server: ServerProcess, seed: int, numbers: range, hangs_s: float = HANGS_S) -> Found:
    """Random messages of every method of every service, a few at a time."""
    single = dict(re.findall(r"VllmEngine of (\S+) on (\S+)", "".join(server.output)))
    listed = server.models.ListModels(models_pb2.ListModelsRequest()).models
    models = [*(model.name for model in listed), "demo", "demo", "nope", ""]
    asker, lock = Asker(server.grpc, single, hangs_s), threading.Lock()

    def one(number: int) -> str:
        wrong = asker.ask(draw(chance_of(seed, number), models), lock)
        return f"case {number}: {wrong}" if wrong else ""

    with ThreadPoolExecutor(CALLERS) as callers:
        bad = [wrong for wrong in callers.map(one, numbers) if wrong]
    asker.close()
    return asker.ends, bad


def ask_http(server: ServerProcess, seed: int, numbers: range) -> Found:
    """Random bodies for every path of HTTP."""
    heard = asyncio.run(fuzz(server.http, inf, seed, len(numbers), numbers.start))
    ends: Counter[str] = Counter()
    for (_, status), count in heard.statuses.items():
        ends[str(status)] += count
    return ends, heard.bad


def ask_openapi(server: ServerProcess, seed: int, numbers: range) -> Found:
    """Calls that schemathesis makes of /openapi.json: as it describes them, and not. A bad one is made small."""
    schema = schemathesis.openapi.from_url(f"{server.http}/openapi.json")
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ends: Counter[str] = Counter()

    @hypothesis.seed(seed + numbers.start)
    @hypothesis.settings(
        max_examples=len(numbers),
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=st.one_of(*(schema.as_strategy(generation_mode=mode) for mode in modes)))
    def ask(case: Any) -> None:
        response = case.call(base_url=server.http, timeout=HANGS_S)
        ends[str(response.status_code)] += 1
        assert response.status_code not in NOT_OURS, f"{case.as_curl_command()}\n{response.text[:300]}"

    try:
        ask()
    except Exception as error:  # noqa: BLE001 - a failure of any kind is what is looked for
        return ends, [f"{type(error).__name__}: {error}"]
    return ends, []
