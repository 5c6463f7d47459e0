"""``python -m tests.cuda_standin.child BUNDLE RESULT``: runs a bundle where the stand-in's libraries are found.

RESULT gets an :class:`Outcome` in JSON.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from attendant.bundle import read_manifest
from attendant.core.events import FailedEvent, FinishedEvent
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.engine.engine import Engine
from attendant.models.ledger import Account
from attendant.models.pages import load_pages
from attendant.settings import EngineSettings, GpuSettings

from tests.cuda_standin.placement import Placement, watch

MAX_NUM_SEQS = 8
NUM_BLOCKS = 64
NUM_ANSWER_TOKENS = 5


@dataclass(slots=True)
class Outcome:
    """What happened. ``error``: why loading or running ended early; ``failed``: causes of requests that failed."""

    placements: dict[str, Placement] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    finished: int = 0
    failed: list[str] = field(default_factory=list)
    error: str | None = None
    captures: int = 0
    replays: int = 0

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """What :func:`main` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        placements = {name: Placement(**placement) for name, placement in fields.pop("placements").items()}
        return cls(placements=placements, **fields)


def run(bundle: Path) -> Outcome:
    """Load the bundle, let a thread of its own capture and answer a few requests, check the KV accounting."""
    outcome = Outcome(placements=watch())
    try:
        settings, gpu = EngineSettings(max_num_seqs=MAX_NUM_SEQS), GpuSettings(num_blocks=NUM_BLOCKS)
        loaded = load_pages(
            bundle, read_manifest(bundle), settings, gpu, Account.alone("model"), outcome.messages.append
        )
        for engine in loaded.engines:
            thread = threading.Thread(target=_answer, args=(engine, outcome))
            thread.start()
            thread.join()
            engine.check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        outcome.error = _chain(error)
    library = ctypes.CDLL("libcuda.so.1")
    outcome.captures = library.cuda_standin_captures()
    outcome.replays = library.cuda_standin_replays()
    return outcome


def _answer(engine: Engine, outcome: Outcome) -> None:
    try:
        engine.prepare()
        for request in _requests():
            engine.submit(request)
        while engine.has_work:
            for event in engine.step().events:
                outcome.finished += isinstance(event, FinishedEvent)
                if isinstance(event, FailedEvent):
                    outcome.failed.append(_chain(event.error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        outcome.error = _chain(error)


def _requests() -> list[Request]:
    """More than run together; greedy, drawn, and such that look at whole rows of logits."""
    kinds: list[dict[str, float]] = [{}, {"temperature": 1.0}, {"temperature": 1.0, "top_p": 0.9}, {"logprobs": 2}]
    return [
        Request(
            f"request {number}",
            tuple(range(3, 20 + 3 * number)),
            SamplingParams(max_tokens=NUM_ANSWER_TOKENS, ignore_eos=True, **kinds[number % len(kinds)]),  # type: ignore[arg-type]
            time.monotonic_ns(),
        )
        for number in range(MAX_NUM_SEQS + 4)
    ]


def _chain(error: BaseException) -> str:
    """The error and those of its causes that say more."""
    text = f"{type(error).__name__}: {error}"
    cause = error.__cause__
    while cause is not None:
        text += "" if str(cause) in text else f" <- {type(cause).__name__}: {cause}"
        cause = cause.__cause__
    return text


def main() -> None:
    """Run the bundle that the command line names."""
    bundle, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(asdict(run(bundle))), encoding="utf-8")


if __name__ == "__main__":
    main()
