"""Asks a whole server everything with one text in one place: over gRPC, on ports for gateways, and over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import grpc
import httpx
from google.protobuf import message_factory

from tests.fuzz.asked import ENDLESS, MOST_ANSWERS
from tests.fuzz.messages import METADATA
from tests.system.server import HANGS_S, ServerProcess
from tests.told.bodies import bodies, is_form
from tests.told.messages import ENGINES, Asked, asked, likely

CALLERS = 4
PLACES = (
    *("/v1/models/{}", "/v2/models/{}", "/v2/models/{}/infer", "/v2/models/{}/generate", "/v2/models/demo/versions/{}"),
    *("/v2/models/{}/versions/{}/infer", "/v2/repository/models/{}/load", "/v2/repository/models/{}/unload"),
    *("/docs/{}", "/page/{}", "/{}", "/v1/models?after={}", "/v2/models/{}/trace/setting"),
)
"""Paths with a part that callers choose."""


Call = TypeVar("Call")


def _chosen(calls: Iterable[tuple[Call, ...]], in_turn: bool) -> list[Call]:
    """Of each place, the calls with all texts, or one."""
    if in_turn:
        return [each[number % len(each)] for number, each in enumerate(calls)]
    return [call for each in calls for call in each]


@dataclass(frozen=True)
class Told:
    """How a call ended.

    Attributes:
        name: where its text was. status: by its name or number.
        error: empty for none. beside: what came with it, which says the same as a message of its own.
    """

    name: str
    status: str
    error: str = ""
    beside: str = ""


class Everywhere:
    """Asks one server."""

    def __init__(self, server: ServerProcess) -> None:
        single = dict(re.findall(r"VllmEngine of (\S+) on (\S+)", "".join(server.output)))
        self._main = server.channel
        self._engines = {model: grpc.insecure_channel(address) for model, address in single.items()}
        self._http = httpx.Client(base_url=server.http, timeout=HANGS_S)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()
        for channel in self._engines.values():
            channel.close()

    def grpc(self, texts: Sequence[str], *, in_turn: bool = False) -> list[Told]:
        """Every field of every method's message, with every text, or with one of them, which are taken in turn."""
        calls = zip(*(asked(text) for text in texts), strict=True)
        return self._all(self._one, _chosen(calls, in_turn))

    def http(self, texts: Sequence[str], *, in_turn: bool = False) -> list[Told]:
        """Every field of every path's body, and the same of texts; those that are the same for two APIs once."""
        chosen = _chosen(zip(*(bodies(text) for text in texts), strict=True), in_turn)
        return self._all(self._posted, list({json.dumps([call[0], call[2]]): call for call in chosen}.values()))

    def beside(self, texts: Iterable[str]) -> list[Told]:
        """Metadata, headers, parts of a path, and parameters that a path ends with."""
        found = []
        for text in texts:
            said = text.replace("\0", "")
            for name, _ in METADATA:
                call: Any = self._main.unary_unary("/attendant.v1.Models/ListModels")
                found.append(self._ended(f"metadata {name}", lambda: call(b"", metadata=((name, said),))))  # noqa: B023
                response = self._http.get("/v1/models", headers={name: said})
                found.append(Told(f"header {name}", str(response.status_code), ""))
            quoted = quote(text, safe="")
            for place in PLACES:
                response = self._http.post(place.replace("{}", quoted), json={"text_input": "hello", "inputs": []})
                found.append(Told(place, str(response.status_code), response.text))
                response = self._http.get(place.replace("{}", quoted))
                found.append(Told(place, str(response.status_code), response.text))
        return found

    def _all(self, ask: Callable[[Any], Told], calls: list[Any]) -> list[Told]:
        with ThreadPoolExecutor(CALLERS) as callers:
            return list(callers.map(ask, calls))

    def _one(self, call: Asked) -> Told:
        method: Any = call.method
        channel = self._main
        if call.service == ENGINES:
            channel = self._engines["vectors" if "Embed" in method.name else "demo"]
        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        answer = message_factory.GetMessageClass(method.output_type).FromString
        ask = getattr(channel, kind)(f"/{call.service}/{method.name}", type(call.message).SerializeToString, answer)
        metadata = (("model", likely(method.input_type.name)),) if call.service.startswith("tei.") else ()

        def run() -> None:
            message = iter([call.message]) if method.client_streaming else call.message
            found = ask(message, timeout=HANGS_S, metadata=metadata)
            if method.server_streaming:
                most = 1 if f"{call.service}.{method.name}" in ENDLESS else MOST_ANSWERS
                for number, _ in enumerate(found, 1):
                    if number == most:
                        found.cancel()
                        break

        return self._ended(call.name, run)

    @staticmethod
    def _ended(name: str, run: Callable[[], Any]) -> Told:
        try:
            run()
        except grpc.RpcError as error:
            beside = str(error.trailing_metadata())
            return Told(name, error.code().name, error.details() or "", beside)
        return Told(name, "OK")

    def _posted(self, call: tuple[str, str, dict[str, Any]]) -> Told:
        path, place, body = call
        where = path.replace("{model}", "demo" if "generate" in path else "moods")
        if is_form(path):
            fields = {name: each if isinstance(each, str) else json.dumps(each) for name, each in body.items()}
            response = self._http.post(where, data=fields, files={"file": ("a.wav", b"RIFF")})
        else:
            response = self._http.post(where, json=body)
        error = response.text if response.status_code >= 400 else ""
        return Told(f"{path} {place}", str(response.status_code), error)
