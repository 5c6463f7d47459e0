"""``python -m attendant_loadtest.bench together BUNDLE BUNDLE ...``: what several busy models in one process do.

Each model is kept busy by a thread of its own. Windows in which one works alone take turns with windows in which
several do; a model's share is what it does in company over what it does alone, in windows of the same round. Shares of
1 in all mean that company costs nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from attendant.bundle import read_any_manifest
from attendant.core.errors import AttendantError
from attendant.core.events import FailedEvent, FinishedEvent
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.models.encoder_check import probe_row
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart
from attendant.models.loaded import LoadedModel
from attendant.models.loader import ModelLoader
from attendant.settings import EncoderSettings, EngineSettings

from attendant_loadtest.bench.measurement import quantile

PROMPT, NEW = 64, (40, 88)
"""Tokens of a prompt, and of an answer: of different lengths, so that prompts do not come all at once."""
ROWS = 8
SWITCH_INTERVAL_S = 0.0005
"""That of the server."""
SETTLES_S = 0.25
"""From when the models of a window begin until they are looked at."""


class BusyGenerator:
    """Keeps a model that generates busy: as many requests at a time, a new one for each that ends."""

    unit = "tokens/s"

    def __init__(self, part: GeneratorPart, concurrency: int) -> None:
        self._engine = part.engines[0]
        self._vocab = min(part.manifest.vocab_size, 1000)
        self._concurrency = concurrency
        self._chance = np.random.default_rng(0)
        self._running = 0
        self._number = 0

    def turn(self) -> int:
        """A step; the tokens that it computed."""
        while self._running < self._concurrency:
            self._submit()
        report = self._engine.step()
        for event in report.events:
            if isinstance(event, FailedEvent):
                raise event.error
            self._running -= isinstance(event, FinishedEvent)
        return report.stats.num_prefill_tokens + report.stats.num_decode_tokens

    def _submit(self) -> None:
        self._number += 1
        self._running += 1
        prompt = tuple(self._chance.integers(5, self._vocab, PROMPT).tolist())
        params = SamplingParams(max_tokens=int(self._chance.integers(*NEW)), ignore_eos=True)
        self._engine.submit(Request(f"r{self._number}", prompt, params, time.monotonic_ns()))


class BusyEncoder:
    """Keeps a model that encodes busy: batches of the same few rows."""

    unit = "rows/s"

    def __init__(self, part: EncoderPart) -> None:
        self._runner = part.runner
        self._rows = [probe_row(part.manifest)] * ROWS

    def turn(self) -> int:
        """A batch; its rows."""
        return len(self._runner.run(self._rows))


Busy = BusyGenerator | BusyEncoder


def busy(model: LoadedModel, concurrency: int) -> Busy:
    """What keeps it busy."""
    if model.generator is not None:
        return BusyGenerator(model.generator, concurrency)
    return BusyEncoder(model.encoders[0])


class Worker:
    """A thread that keeps a model busy while it is let."""

    def __init__(self, contestant: Busy) -> None:
        self.contestant = contestant
        self.done = 0
        self.turns_s: list[float] = []
        self.error: Exception | None = None
        self._go = threading.Event()
        self._rests = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Be busy."""
        self._rests.wait()  # a thread that just started would say so later, while it is busy
        self._rests.clear()
        self._go.set()

    def rest(self) -> None:
        """Stop; returns when nothing runs."""
        self._go.clear()
        self._rests.wait()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._go.set()
        self._thread.join()

    def _main(self) -> None:
        while True:
            self._rests.set()
            self._go.wait()
            if self._ended:
                return
            try:
                while self._go.is_set() and not self._ended:
                    started = time.perf_counter()
                    self.done += self.contestant.turn()
                    self.turns_s.append(time.perf_counter() - started)
            except Exception as error:  # noqa: BLE001 - supervision point: whoever waits hears of it
                self.error = error
                self._go.clear()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model did in a window: work a second, and the seconds of each turn."""

    rate: float
    turns_s: tuple[float, ...]


def window(workers: Sequence[Worker], seconds: float) -> list[Seen]:
    """Let these be busy together."""
    for worker in workers:
        worker.begin()
    time.sleep(SETTLES_S)
    before = [(worker.done, len(worker.turns_s)) for worker in workers]
    started = time.perf_counter()
    time.sleep(seconds)
    after = [(worker.done, len(worker.turns_s)) for worker in workers]
    took = time.perf_counter() - started
    for worker in workers:
        worker.rest()
    return [
        Seen((ended - began) / took, tuple(worker.turns_s[first:last]))
        for worker, (began, first), (ended, last) in zip(workers, before, after, strict=True)
    ]


Rounds = list[dict[tuple[int, ...], list[Seen]]]
"""For each round what was seen, by the numbers of those that were busy together."""


def measure(workers: Sequence[Worker], groups: Sequence[tuple[int, ...]], rounds: int, seconds: float) -> Rounds:
    """Let each alone, and each group, be busy in turn; every second round in the opposite order."""
    order = [*((number,) for number in range(len(workers))), *groups]
    found: Rounds = []
    for turn in range(rounds):
        ordered = order if turn % 2 == 0 else order[::-1]
        found.append({group: window([workers[number] for number in group], seconds) for group in ordered})
    return found


def shares(rounds: Rounds, group: tuple[int, ...]) -> list[list[float]]:
    """For each round what each of a group did in company, over what it did alone."""
    return [
        [seen.rate / found[(number,)][0].rate for number, seen in zip(group, found[group], strict=True)]
        for found in rounds
    ]


def told(names: Sequence[str], workers: Sequence[Worker], rounds: Rounds) -> list[str]:
    """The lines of the table."""
    lines = []
    for number, (name, worker) in enumerate(zip(names, workers, strict=True)):
        alone = [found[(number,)][0] for found in rounds]
        lines.append(f"{name:28} alone: {_rate(alone)} {worker.contestant.unit}, turns {_turns(alone)}")
    for group in sorted({group for found in rounds for group in found if len(group) > 1}):
        of_rounds = shares(rounds, group)
        total = statistics.median(sum(each) for each in of_rounds)
        lines.append(f"{len(group)} together: {total:.3f} of one alone")
        for place, number in enumerate(group):
            seen = [found[group][place] for found in rounds]
            share = statistics.median(each[place] for each in of_rounds)
            lines.append(f"  {names[number]:26} {share:.3f}: {_rate(seen)}, turns {_turns(seen)}")
    return lines


def _rate(seen: Sequence[Seen]) -> str:
    return f"{statistics.median(each.rate for each in seen):,.0f}"


def _turns(seen: Sequence[Seen]) -> str:
    turns = [turn for each in seen for turn in each.turns_s]
    if not turns:
        return "none"
    p50, p99 = (1000 * quantile(turns, share) for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def load(bundles: Sequence[Path], settings: EngineSettings, encoder: EncoderSettings) -> list[LoadedModel]:
    """The models of one process. A bundle may come twice: it has another name the second time."""
    loader = ModelLoader(settings, encoder=encoder, verify=False, progress=lambda line: None)

    def one(number: int, path: Path) -> LoadedModel:
        manifest = read_any_manifest(path)
        return loader.load(path, manifest.model_copy(update={"name": f"{number} {manifest.name}"}))

    return [one(number, path) for number, path in enumerate(bundles, 1)]


def main(argv: Sequence[str]) -> int:
    """Measure and print; the exit code."""
    args = _parser().parse_args(argv)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = EngineSettings(kv_memory="256MiB", threads=args.threads, spinning=args.spinning)
    try:
        models = load(args.bundles, settings, EncoderSettings(threads=args.threads, spinning=args.spinning))
        lines = _measured(models, args)
    except AttendantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _measured(models: Sequence[LoadedModel], args: argparse.Namespace) -> list[str]:
    workers = [Worker(busy(model, args.concurrency)) for model in models]
    try:
        groups = [tuple(range(size)) for size in args.together or (len(workers),)]
        rounds = measure(workers, groups, args.rounds, args.seconds)
        return told([model.name for model in models], workers, rounds)
    finally:
        for worker in workers:
            worker.close()


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m attendant_loadtest.bench together", description=__doc__)
    add: Callable[..., object] = parser.add_argument
    add("bundles", type=Path, nargs="+", help="bundle folders; one may come twice")
    add("--together", type=_sizes, help="how many of the first are busy together, e.g. 2,4 (default: all)")
    add("--concurrency", type=int, default=4, help="requests at a time of each model that generates (default: 4)")
    add("--rounds", type=int, default=5, help="the table has medians of so many rounds (default: 5)")
    add("--seconds", type=float, default=1.5, help="of a window (default: 1.5)")
    add("--threads", type=int, help="of a model run (default: the processors)")
    add("--no-spinning", dest="spinning", action="store_false", help="idle threads of a run do not spin")
    return parser
