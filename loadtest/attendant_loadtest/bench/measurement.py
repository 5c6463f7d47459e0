"""What one measurement found, and how much of the machine others took meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

QUIET_MOMENT_S = 0.5


@dataclass(frozen=True, slots=True)
class Measurement:
    """One way of running one workload once.

    Attributes:
        generated: tokens generated.
        prompt: prompt tokens computed.
        wall_s: from the first submit to the last token.
        others: processors that foreign processes used meanwhile, on average.
        figures: whatever else this way of running can tell, by name.
    """

    generated: int
    prompt: int
    wall_s: float
    others: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens a second."""
        return self.generated / self.wall_s


class Bystanders:
    """Measures the processor time that processes other than ``pids`` use between construction and :meth:`cores`.

    ``polite``: leave out processes of low priority (nice), which give way to a measurement.
    """

    def __init__(self, pids: Sequence[int], *, polite: bool = False) -> None:
        self._pids = pids
        self._fields = (1, 3, 6, 7) if polite else (1, 2, 3, 6, 7)
        self._start = time.monotonic()
        self._busy, self._own = _busy_s(self._fields), self._own_s()

    def cores(self) -> float:
        """Processors used by others, on average."""
        others = (_busy_s(self._fields) - self._busy) - (self._own_s() - self._own)
        return max(0.0, others / (time.monotonic() - self._start))

    def _own_s(self) -> float:
        return sum(processor_s(pid) for pid in self._pids)


def processor_s(pid: int) -> float:
    """Processor time that a process has used so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _busy_s(indices: Sequence[int]) -> float:
    """Processor time that the machine has used since it started; 1 user, 2 nice, 3 system, 6 irq, 7 softirq."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return sum(int(fields[i]) for i in indices) / _TICKS


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def wait_until_quiet(pids: Sequence[int], limit: float, patience_s: float) -> bool:
    """Wait for a moment in which processes other than ``pids`` use less than ``limit`` processors.

    Returns:
        Whether it came within ``patience_s`` seconds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        bystanders = Bystanders(pids, polite=True)
        time.sleep(QUIET_MOMENT_S)
        if bystanders.cores() < limit:
            return True
        if time.monotonic() > deadline:
            return False
