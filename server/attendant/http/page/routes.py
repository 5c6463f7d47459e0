"""Composes the page: its files, its events, its boxes, all behind the guard."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attendant.frontend.front_end import FrontEnd
from attendant.http.answers import said
from attendant.http.api.answers import Streamed
from attendant.http.loading import loaded
from attendant.http.page.answers import NO_STORE
from attendant.http.page.events import Events, TooManyListeners
from attendant.http.page.files import File, page_files
from attendant.http.page.guard import Audience, Endpoint, Guard
from attendant.http.page.models import model_teller
from attendant.http.page.tries.encoding import Encoding
from attendant.http.page.tries.explaining import Explaining
from attendant.http.page.tries.generating import Generating
from attendant.http.page.tries.hearing import Hearing
from attendant.metrics import Metrics

INDEX = "index.html"


class Page:
    """The live page of one server. Create it anywhere; the rest belongs to the event loop.

    Args:
        audience: who gets it.
        front_end: the models, asked at each request; None as long as they are being loaded.
        serving: whether the server takes calls.
        explains: serve what models looked at, too.
    """

    def __init__(
        self,
        audience: Audience,
        metrics: Metrics,
        front_end: Callable[[], FrontEnd | None],
        serving: Callable[[], bool],
        *,
        explains: bool = True,
    ) -> None:
        self._audience = audience
        self._explains = explains
        self._models = loaded(front_end)
        self._events = Events(metrics, model_teller(front_end, explains=explains), serving)

    def routes(self) -> list[Route]:
        """Everything that the page is and asks; nothing if nobody gets it."""
        if self._audience == "off":
            return []
        guard, files = Guard(self._audience), page_files()
        found = [Route("/", guard.around(_file(files[INDEX])))]
        found += [Route(f"/page/{name}", guard.around(_file(file))) for name, file in files.items() if name != INDEX]
        found.append(Route("/page/events", guard.around(self._listen)))
        calls = self._calls().items()
        return found + [Route(f"/page/{name}", guard.around(call), methods=["POST"]) for name, call in calls]

    def start(self) -> None:
        """Begin to keep what charts show."""
        if self._audience != "off":
            self._events.start()

    async def close(self) -> None:
        """End every stream of events; browsers come back for them when there is a server again."""
        await self._events.close()

    async def _listen(self, _: Request) -> Response:
        try:
            return Streamed(self._events.listen(), "text/event-stream", NO_STORE)
        except TooManyListeners as error:
            return said(503, {"error": str(error)})

    def _calls(self) -> dict[str, Endpoint]:
        generating = Generating(lambda: self._models().generation)
        encoding = Encoding(lambda: self._models().encoding)
        return {
            "generate": generating.generate,
            "translate": generating.translate,
            "transcribe": Hearing(self._models).transcribe,
            "classify": encoding.classify,
            "classify_tokens": encoding.tag,
            "fill_mask": encoding.fill_mask,
            "answer": encoding.answer,
            "rerank": encoding.rerank,
            "embed": encoding.embed,
            "classify_image": encoding.see,
            "embed_image": encoding.embed_images,
            **(self._explaining() if self._explains else {}),
        }

    def _explaining(self) -> dict[str, Endpoint]:
        explaining = Explaining(lambda: self._models().explain)
        return {
            "attention": explaining.attention,
            "attribute": explaining.attribute,
            "similarity": explaining.similarity,
        }


def _file(file: File) -> Endpoint:
    async def answer(request: Request) -> Response:
        return file.answer(request)

    return answer
