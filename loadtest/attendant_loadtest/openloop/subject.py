"""The model that is asked, and how it is reached."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import Request, urlopen

from attendant.client.access import Access
from attendant.client.connection import CallFailed, Connection, access_of

from attendant_loadtest.openloop.grpc_target import connected
from attendant_loadtest.openloop.http_target import over_http
from attendant_loadtest.openloop.loop import Target
from attendant_loadtest.schedule.planned import BadSchedule, Schedule, too_long

METRICS_PORT = 9090
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of a server.

    Attributes:
        protocol: in which it is asked.
        address: of its server.
        metrics: the page of metrics of that server, which may not be there.
        context_length: most tokens of a prompt and its answer; None: not known.
        vocab_size: 0 where prompts are words.
        max_running: requests that run together; None: not known.
    """

    name: str
    protocol: str
    address: str
    metrics: str
    endpoint: str
    access: Access
    context_length: int | None = None
    vocab_size: int = 0
    max_running: int | None = None

    @classmethod
    def of(cls, args: Namespace) -> Subject:
        """What the flags of ``add_target_arguments`` name.

        Raises:
            CallFailed: there is no such server or no such model.
        """
        access = access_of(args)
        if args.openai:
            url = args.openai.rstrip("/").removesuffix("/v1")
            metrics = args.metrics or f"{url}/metrics"
            name = args.model or _only_model(url, access)
            return cls(name, "openai", url, metrics, args.endpoint, access)
        with Connection(args.server, TIMEOUT_S, access=access) as connection:
            model = connection.find_model(args.model, ("generate",))
        if "generate" not in model.capabilities:
            can = ", ".join(model.capabilities) or "nothing"
            raise CallFailed(f"{model.name} can {can}; allowed: models that generate")
        limits = model.generation.limits
        host = args.server.rpartition(":")[0]
        return cls(
            model.name,
            "attendant.v1",
            args.server,
            args.metrics or f"http://{host}:{METRICS_PORT}/metrics",
            args.endpoint,
            access,
            limits.context_length or None,
            model.generation.vocab_size,
            limits.max_running or None,
        )

    def check(self, schedule: Schedule) -> None:
        """Raises BadSchedule if requests are longer than the model's context."""
        most = self.context_length
        if most is not None and (long := too_long(schedule, most)):
            worst = max(each.prompt + each.answer for each in long)
            raise BadSchedule(
                f"{len(long)} of {len(schedule)} requests are longer than {self.name} takes, up to {worst} tokens; "
                f"allowed: {most} of prompt and answer together (--scale-lengths makes those of a trace shorter)"
            )

    @asynccontextmanager
    async def target(self, seed: int) -> AsyncIterator[Target]:
        """Where requests go."""
        if self.protocol == "openai":
            async with over_http(self.address, self.name, self.endpoint, seed, self.access) as http:
                yield http
        else:
            async with connected(self.address, self.name, self.vocab_size, seed, self.access) as grpc:
                yield grpc


def _only_model(url: str, access: Access) -> str:
    headers = {"authorization": f"Bearer {access.token}"} if access.token else {}
    try:
        with urlopen(Request(f"{url}/v1/models", headers=headers), timeout=TIMEOUT_S) as page:
            names = [model["id"] for model in json.load(page)["data"]]
    except (URLError, OSError, ValueError, KeyError) as error:
        raise CallFailed(f"{url}/v1/models tells no models: {error}") from None
    if len(names) != 1:
        raise CallFailed(
            f"this server has several models; name one with --model: {', '.join(map(repr, sorted(names)))}"
        )
    return str(names[0])
