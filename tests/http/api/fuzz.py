"""`python -m tests.http.api.fuzz [SECONDS [SEED [URL]]]`: random bodies for every endpoint of the HTTP APIs.

Four are under way at a time. Without a URL it starts a server with the demo models and tiny encoders. It exits with 1
where an answer is a failure of the server's own, takes longer than HANGS_S, is no JSON, tells an error in another shape
than the API's, or where the same question has another answer afterwards than before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import httpx

from tests.http.api.hostile import Hostile
from tests.http.api.known import BODIES, EXAMPLES, FORMS
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import ServerProcess, serving

CALLERS, HANGS_S = 4, 60.0
MOST_LINES = 60
"""Of a stream, before its caller hangs up."""
NOT_OURS = frozenset({500, 502, 503})
"""Statuses that no body may bring about in a server that is well."""
MEDIA = ("application/json",) * 12 + ("application/json; charset=utf-8", "text/plain", "", "a/b;c=d")
HEAD_OF_SOUND = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data"
SOUNDS = (b"", b"RIFF", HEAD_OF_SOUND, HEAD_OF_SOUND + bytes(4000), bytes(70_000))
TEI = frozenset({"/embed", "/embed_all", "/embed_sparse", "/predict", "/rerank"})
QUESTION = {"model": "demo", "prompt": "Where is my order?", "max_tokens": 16, "temperature": 0}


@dataclass
class Heard:
    """What came back."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def is_told(path: str, body: Any) -> bool:
    """Whether a body is an error as the API of a path tells it."""
    match body:
        case {"type": "error", "error": {"type": str(), "message": str(message)}} if path.startswith("/v1/messages"):
            return bool(message)
        case {"message": str(message)} if path == "/v2/rerank":
            return bool(message)
        case {"error": str(message)} if path.startswith("/v2/"):
            return bool(message)
        case {"error": str(message), "error_type": str()} if path in TEI:
            return bool(message)
        case {"error": {"message": str(message), "type": str()}} if path == "/rerank":
            return bool(message)  # it takes Jina's bodies, too, and tells errors of these as /v1/rerank does
        case {"error": {"message": str(message), "type": str(), "param": str() | None, "code": str() | None}}:
            return bool(message) and not path.startswith(("/v1/messages", "/v2")) and path not in TEI
    return False


def _strict(text: str | bytes) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


class Fuzz:
    """Asks one server.

    Args:
        url: where it is. models: names for bodies. seed, first: what cases are drawn with, and the number of the first.
    """

    def __init__(self, url: str, models: Sequence[str], seed: int, first: int = 0) -> None:
        self.heard = Heard()
        self._client = httpx.AsyncClient(base_url=url, timeout=HANGS_S)
        self._schemas = {path: kind.model_json_schema() for path, kind in BODIES.items()}
        self._models = models
        self._seed = seed
        self._numbers = itertools.count(first)

    async def run(self, seconds: float, cases: float = inf) -> None:
        """Ask for so long, and so often at most."""
        until = time.monotonic() + seconds
        numbers = iter(self._numbers) if cases == inf else itertools.islice(self._numbers, int(cases))

        async def caller() -> None:
            while time.monotonic() < until and (number := next(numbers, None)) is not None:
                await self.ask(number)

        async with self._client:
            await asyncio.gather(*(caller() for _ in range(CALLERS)))

    async def ask(self, number: int) -> None:
        """One call, noted. What is sent depends on the seed and this number alone."""
        chance = random.Random(f"{self._seed}/{number}")
        path = chance.choice(list(self._schemas))
        place = path.replace("{model}", chance.choice(self._models))
        sent, headers = self._body(path, chance)
        begin = time.monotonic()
        try:
            async with self._client.stream("POST", place, content=sent, headers=headers) as response:
                wrong = await self._wrong(path, response)
                status = response.status_code
        except httpx.TimeoutException:
            status, wrong = 0, "hangs"
        except httpx.HTTPError as error:
            status, wrong = 0, repr(error)
        self.heard.slowest_s = max(self.heard.slowest_s, time.monotonic() - begin)
        self.heard.statuses[path, status] += 1
        if wrong:
            self.heard.bad.append(f"case {number}: {place} {status} {wrong}\n  sent {sent[:1500]!r}")

    def _body(self, path: str, chance: random.Random) -> tuple[bytes, dict[str, str]]:
        schema = self._schemas[path]
        body = Hostile(chance, self._models).body(schema, schema.get("$defs", {}), EXAMPLES.get(path))
        if path not in FORMS:
            return body, {"content-type": chance.choice(MEDIA)}
        return _form(body, chance), {"content-type": "multipart/form-data; boundary=edge"}

    async def _wrong(self, path: str, response: httpx.Response) -> str:
        """What is wrong with an answer; empty for nothing."""
        if response.status_code in NOT_OURS:
            return (await response.aread()).decode()[:300]
        if response.headers["content-type"].startswith("text/event-stream"):
            return await _wrong_with_events(response)
        body = await response.aread()
        if response.status_code < 400 and not response.headers["content-type"].startswith("application/json"):
            return ""
        try:
            said = _strict(body)
        except ValueError as error:
            return f"{error}: {body[:200]!r}"
        if response.status_code >= 400 and not is_told(path, said):
            return f"in another shape: {body[:300]!r}"
        return ""


async def _wrong_with_events(response: httpx.Response) -> str:
    if response.status_code != 200:
        return "a stream that is no success"
    count = 0
    async for line in response.aiter_lines():
        count += 1
        if count > MOST_LINES:
            return ""
        if not line or line.startswith((":", "event: ")) or line == "data: [DONE]":
            continue
        if not line.startswith("data: "):
            return f"no line of a stream: {line[:200]!r}"
        try:
            _strict(line.removeprefix("data: "))
        except ValueError as error:
            return f"{error}: {line[:200]!r}"
    return "" if count else "an empty stream"


def _form(body: bytes, chance: random.Random) -> bytes:
    """The fields of a JSON object as a form's, a file among them."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return body
    parts = []
    if chance.random() < 0.9:
        fields = {"file": None, **fields}
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            named = json.dumps(name).strip('"').encode()
            if name == "file":
                head, said = b'; filename="a.wav"\r\ncontent-type: audio/wav', chance.choice(SOUNDS)
            else:
                head, said = b"", (each if isinstance(each, str) else json.dumps(each)).encode("utf-8", "replace")
            parts.append(b'--edge\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (named, head, said))
    return b"".join(parts) + b"--edge--\r\n"


async def fuzz(url: str, seconds: float, seed: int, cases: float = inf, first: int = 0) -> Heard:
    """Asks a server for so long, and so often at most. That it is another one afterwards is bad, too."""
    async with httpx.AsyncClient(base_url=url, timeout=HANGS_S) as client:
        models = [each["id"] for each in (await client.get("/v1/models")).json()["data"]]
        before = (await client.post("/v1/completions", json=QUESTION)).json()["choices"]
        run = Fuzz(url, [*models, "demo", "demo", "nope", ""], seed, first)
        await run.run(seconds, cases)
        after = (await client.post("/v1/completions", json=QUESTION)).json()["choices"]
        health = (await client.get("/health")).status_code
    if (before, 200) != (after, health):
        run.heard.bad.append(f"afterwards: health {health}, {before} became {after}")
    return run.heard


def tell(heard: Heard) -> None:
    """Prints how often which status came."""
    for path in sorted({path for path, _ in heard.statuses}):
        print(path, {status: count for (of, status), count in sorted(heard.statuses.items()) if of == path})
    print(f"{heard.statuses.total()} calls, slowest {heard.slowest_s:.1f} s, {len(heard.bad)} bad")
    for each in heard.bad[:12]:
        print(each)


@contextmanager
def served(folder: Path) -> Iterator[ServerProcess]:
    """A server with the demo models and a tiny encoder for each task, two of them on ports for gateways, too."""
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    gateways = ("--vllm-engine", "0=demo", "--vllm-engine", "0=vectors")
    flags = (*FLAGS, "--engine.threads", 1, "--no-engine.spinning", *gateways)
    with serving(folder / "log", *encoders, "--demo", *flags) as running:
        yield running


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    seconds = float(arguments[0]) if arguments else 20.0
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    with ExitStack() as stack:
        if len(arguments) > 2:
            url = arguments[2]
        else:
            url = stack.enter_context(served(Path(stack.enter_context(tempfile.TemporaryDirectory())))).http
        heard = asyncio.run(fuzz(url, seconds, seed))
    tell(heard)
    return int(bool(heard.bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
