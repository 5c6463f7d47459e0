"""The stream of the page: made once for all who listen, and ended in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from attendant.http.page import events
from attendant.http.page.events import Events
from attendant.metrics import Metrics

from tests.http.loop import HANGS_S
from tests.http.page.served import PageSite, eventually
from tests.synthetic import make_synthetic_bundle


class Counted:
    """Models that count how often they are asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> list[dict[str, Any]]:
        self.asked += 1
        return [{"name": f"m{self.asked}"}]


def parsed(text: bytes) -> tuple[str, Any]:
    name, data = text.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_all_listeners_hear_one_snapshot_and_nothing_is_made_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PERIOD_S", 0.01)
    monkeypatch.setattr(events, "IDLE_PERIOD_S", 0.01)

    async def main() -> None:
        models = Counted()
        stream = Events(Metrics(), models, lambda: True)
        stream.start()
        await asyncio.sleep(0.1)
        assert models.asked == 0
        one, other = stream.listen(), stream.listen()
        heard = [[await anext(listener) for _ in range(2)] for listener in (one, other)]
        assert [parsed(parts[1])[0] for parts in heard] == ["history", "history"]

        async def next_ones(listener: AsyncGenerator[bytes, None]) -> list[bytes]:
            return [await anext(listener) for _ in range(5)]

        told, same = await asyncio.gather(next_ones(one), next_ones(other))
        assert {parsed(heard)[0] for heard in (*told, *same)} == {"snapshot"}
        assert {id(heard) for heard in told} & {id(heard) for heard in same}
        await one.aclose()
        await other.aclose()
        await asyncio.sleep(0.03)
        asked = models.asked
        await asyncio.sleep(0.1)
        assert models.asked == asked
        await stream.close()

    asyncio.run(main())


def test_the_number_of_listeners_is_limited_and_places_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)

    async def main() -> None:
        stream = Events(Metrics(), Counted(), lambda: True)
        stream.start()
        first = stream.listen()
        await anext(first)
        with pytest.raises(events.TooManyListeners, match="1 browsers"):
            stream.listen()
        await first.aclose()
        await anext(stream.listen())
        await stream.close()

    asyncio.run(main())


@pytest.fixture
def site() -> Iterator[PageSite]:
    site = PageSite()
    yield site
    site.close()


def test_an_end_that_comes_with_a_listener_is_not_forgotten() -> None:
    async def test() -> None:
        stream = Events(Metrics(), list, lambda: True)
        stream.start()
        await asyncio.sleep(0)
        stream._came.set()
        await asyncio.wait_for(stream.close(), HANGS_S)

    asyncio.run(test())


def test_a_stream_over_a_socket_ends_with_the_server(site: PageSite) -> None:
    connection = site.connect()
    connection.request("GET", "/page/events")
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    assert response.getheader("cache-control") == "no-store"
    assert response.readline() == b"retry: 2000\n"
    site.loop.run(site.page.close())
    rest = response.read()  # to its end
    assert b"event: history" in rest or rest == b"\n"
    connection.close()


def test_a_browser_that_leaves_gives_its_place_back(site: PageSite) -> None:
    connection = site.connect()
    connection.request("GET", "/page/events")
    assert connection.getresponse().readline() == b"retry: 2000\n"
    listeners = site.page._events._listeners
    assert len(listeners) == 1
    connection.close()
    eventually(lambda: not listeners)


def test_models_are_told_with_their_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    site = PageSite(make_synthetic_bundle(tmp_path_factory.mktemp("b") / "tiny", name="tiny"))
    try:
        connection = site.connect()
        connection.request("GET", "/page/events")
        lines = connection.getresponse()
        data = next(line for line in lines if line.startswith(b"data:"))
        told = json.loads(data.removeprefix(b"data: "))
        (model,) = told["models"]
        assert (model["name"], model["state"], model["can"]) == ("tiny", "ready", ["generate", "continue"])
        assert (model["context_length"], model["chats"]) == (256, True)
        assert told["board"]["models"]["tiny"]["kind"] == "generate"
        assert told["serving"] is True
        connection.close()
    finally:
        site.close()
