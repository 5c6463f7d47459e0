"""The front end over batches in another process: what holds for a thread's holds for them, test by test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from attendant.core.errors import EngineDead
from attendant.frontend.encoding.calls import ClassifyCall
from attendant.frontend.encoding.service import EncodingService
from attendant.models.encoders import EncoderPart

from tests.frontend.encoding import helpers, test_service
from tests.frontend.encoding.helpers import items, with_encoders
from tests.frontend.encoding.process_batches import ProcessBatchClient
from tests.frontend.encoding.test_service import Models, models

__all__ = ["models"]  # a fixture

OF_THE_SERVICE = (
    test_service.test_labels_are_those_of_each_text,
    test_service.test_vectors_are_pooled_projected_cut_and_normalised,
    test_service.test_spans_of_a_text_that_is_read_in_windows,
    test_service.test_five_thousand_inputs_come_back_in_order_through_a_short_queue,
)


@pytest.fixture(autouse=True)
def children(monkeypatch: pytest.MonkeyPatch) -> list[ProcessBatchClient]:
    """The batches of every model are in a process of its own; they are listed as they are made."""
    made: list[ProcessBatchClient] = []

    def client_of(part: EncoderPart) -> ProcessBatchClient:
        made.append(ProcessBatchClient(part.path))
        return made[-1]

    monkeypatch.setattr(helpers, "client_of", client_of)
    return made


@pytest.mark.parametrize("test", OF_THE_SERVICE, ids=lambda test: test.__name__)
def test_of_the_service(test: Callable[[Models], None], models: Models, children: list[ProcessBatchClient]) -> None:
    test(models)
    assert [child.process.exitcode for child in children] == [0]


def test_a_process_that_is_killed_is_a_dead_engine(models: Models, children: list[ProcessBatchClient]) -> None:
    async def test(service: EncodingService) -> None:
        assert (await service.classify(ClassifyCall("", items("good")))).results
        children[0].process.kill()
        await asyncio.to_thread(children[0].process.join)
        with pytest.raises(EngineDead):
            await service.classify(ClassifyCall("", items(*["some words"] * 10)))

    deaths = with_encoders([models["moods"]], test)
    assert [(name, str(error)) for name, error in deaths] == [("moods", "the process of the engine has ended")]
