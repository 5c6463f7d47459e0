"""Which models hang, for a clock of the test's own."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass, field

import pytest
from attendant.frontend.watchdog import Watchdog
from attendant.metrics import Metrics
from attendant.settings import LifecycleSettings
from prometheus_client import CollectorRegistry


@dataclass(eq=False)
class Runner:
    """What runs a model. ``kills``: how often it was ended; None: it cannot be."""

    busy_since_ns: int = 0
    kills: int | None = None

    def where(self) -> str:
        return "in the middle of it"

    def kill(self) -> bool:
        if self.kills is None:
            return False
        self.kills += 1
        return True


@dataclass
class Serving:
    runners: tuple[Runner, ...]
    ready: bool = True


@dataclass
class Model:
    serving: Serving | None
    name: str = "m"
    full_name: str = "m@1"
    hangs: bool = False


@dataclass
class Watch:
    """A watchdog over models, and what it told."""

    models: list[Model]
    exit_s: float | None = None
    changes: int = 0
    given_up: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.metrics.lifecycle.add_model("m")
        settings = LifecycleSettings(watchdog_s=10, watchdog_exit_s=self.exit_s)
        self.dog = Watchdog(settings, lambda: self.models, self.metrics, self._changed, self.given_up.append)

    async def _changed(self) -> None:
        self.changes += 1

    def look(self, *passed_s: float) -> None:
        async def all_of_them() -> None:
            for seconds in passed_s:
                await self.dog.look(seconds)

        asyncio.run(all_of_them())

    def counted(self) -> bool:
        return b'attendant_model_hangs_total{model_name="m"} 1.0' in self.metrics.render()[0]


def watch(*runners: Runner, exit_s: float | None = None) -> tuple[Watch, Model]:
    model = Model(Serving(runners))
    return Watch([model], exit_s), model


def test_a_run_that_does_not_end_is_noticed_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner(busy_since_ns=7)
    found, model = watch(Runner(), runner)
    found.look(5, 5)
    assert (model.hangs, found.changes) == (False, 0), "seen for five seconds: before the first look nobody looked"
    found.look(5, 5)
    assert (model.hangs, found.changes) == (True, 1)
    assert found.counted()
    assert "m@1' hangs" in caplog.text
    assert "in the middle of it" in caplog.text
    runner.busy_since_ns = 8
    found.look(5)
    assert (model.hangs, found.changes) == (False, 2)


def test_runs_that_end_never_hang_however_many() -> None:
    runner = Runner()
    found, model = watch(runner)
    for number in range(1, 20):
        runner.busy_since_ns = number
        found.look(9)
    runner.busy_since_ns = 0
    found.look(100, 100)
    assert (model.hangs, found.changes) == (False, 0)


def test_what_can_be_ended_is_ended_once() -> None:
    other, runner = Runner(0, kills=0), Runner(7, kills=0)
    found, model = watch(other, runner)
    found.look(5, 5, 5, 5, 5)
    assert (other.kills, runner.kills) == (0, 1)
    assert model.serving is not None
    model.serving.ready = False  # its death has come
    found.look(5)
    assert (model.hangs, found.changes) == (False, 2)


def test_what_hangs_too_long_is_given_up_if_that_is_asked_for() -> None:
    found, _ = watch(Runner(7), exit_s=5)
    found.look(5, 5, 5)
    assert found.given_up == []
    found.look(5, 5)
    assert found.given_up == ["m@1"]
    without, model = watch(Runner(7))
    without.look(*[5] * 100)
    assert model.hangs
    assert without.given_up == []


def test_a_model_that_is_not_in_memory_does_not_hang() -> None:
    model = Model(None)
    found = Watch([model])
    found.look(100, 100)
    assert not model.hangs


def test_a_model_that_leaves_is_not_held_until_the_next_look() -> None:
    watched = watch(Runner(busy_since_ns=1))[0]
    watched.look(1.0)
    gone = weakref.ref(watched.models.pop().serving.runners[0])  # type: ignore[union-attr]
    gc.collect()
    assert gone() is None
