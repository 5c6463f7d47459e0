"""Long contexts: how long a prompt takes, and how fast one answer goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from attendant_loadtest.bench.measurement import Bystanders, Measurement, wait_until_quiet
from attendant_loadtest.bench.peers.decoding import Running
from attendant_loadtest.bench.peers.readings import QUIET, Reading, Round
from attendant_loadtest.bench.peers.table import Aim
from attendant_loadtest.bench.workload import Workload

DEPTHS = (2000, 4000, 8000)
PEERS = ("openvino-int8", "llama.cpp-q8_0")
"""Those that say when a lone answer's first token came."""
NEW = 33


@dataclass(frozen=True, slots=True)
class LongContest:
    """Prompts of ``depths`` tokens, each by itself, with ``new_tokens`` behind them."""

    depths: tuple[int, ...] = DEPTHS
    repeats: int = 3
    patience_s: float = 10.0
    new_tokens: int = NEW

    @property
    def aims(self) -> dict[str, Aim | None]:
        """The measures, in the order of the table; none has an aim."""
        return {measure: None for depth in self.depths for measure in measures(depth)}


def measures(depth: int) -> tuple[str, str]:
    """Names: prompt tokens a second; generated tokens a second behind them."""
    return f"prompt/s, {depth}", f"decode/s at {depth}"


def compare_long(contest: LongContest, found: Running, vocab_size: int, progress: Callable[[str], None]) -> list[Round]:
    """Measures all ways in turn."""
    rounds: list[Round] = []
    for number in range(contest.repeats + 1):  # the first warms up
        one: dict[str, dict[str, Reading]] = {}
        for depth in contest.depths if number else contest.depths[:1]:
            asked = Workload(1, 1, depth, contest.new_tokens, vocab_size, seed=1000 * depth + number, per_s=1000.0)
            for name, way in found.ways.items():
                wait_until_quiet(found.pids, QUIET, contest.patience_s if number else 0.0)
                bystanders = Bystanders(found.pids)
                measured = way.measure(asked)
                measured = replace(measured, others=bystanders.cores())
                for measure, reading in zip(measures(depth), _readings(measured), strict=True):
                    one.setdefault(measure, {})[name] = reading
                    progress(f"round {number}/{contest.repeats}, {name}, {measure}: {reading.value:.0f}")
        rounds += [one] * bool(number)
    return rounds


def _readings(found: Measurement) -> tuple[Reading, Reading]:
    """Of prompt tokens, and of those generated after the first."""
    first_s = found.figures["first_token_p50_ms"] / 1e3
    rest = (found.generated - 1) / (found.wall_s - first_s)
    return Reading(found.prompt / first_s, found.others), Reading(rest, found.others)
