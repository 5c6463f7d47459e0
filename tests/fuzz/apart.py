"""Cases in a process of their own: one that crashes or hangs costs itself, and is told with its number."""

from __future__ import annotations

import multiprocessing
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psutil

STARTS_S = 300.0
"""So long a child may take to import what it needs."""
READY = "ready"
Case = Callable[[random.Random], tuple[str, str]]
"""Draws one case and runs it: how it ended, and what is wrong with it."""


@dataclass
class Ran:
    """What became of cases. ``resident``: bytes of the process, every so often."""

    ends: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)


def chance_of(seed: int, number: int) -> random.Random:
    """What everything of one case is drawn with: a case can be had again without those before it."""
    return random.Random(f"{seed}/{number}")


def run_apart(case: Case, seed: int, numbers: range, hangs_s: float) -> Ran:
    """Run cases one after another in a child, and in another where one has ended that."""
    ran = Ran()
    left = list(numbers)
    while left:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(case, seed, left, theirs), daemon=True)
        child.start()
        theirs.close()
        _listen(ours, child, left, ran, hangs_s)
        child.kill()
        child.join()
    return ran


def _listen(ours: Connection, child: Any, left: list[int], ran: Ran, hangs_s: float) -> None:
    """Hear of cases until all are done or one has ended the child."""
    assert ours.poll(STARTS_S), "the child did not start"
    assert ours.recv() == READY
    while left:
        number = left[0]
        if not ours.poll(hangs_s):
            ran.bad.append(f"case {number}: hangs for {hangs_s} s")
            left.pop(0)
            return
        try:
            ended, wrong, resident = ours.recv()
        except EOFError:
            child.join()
            ran.bad.append(f"case {number}: ended its process with {child.exitcode}")
            left.pop(0)
            return
        left.pop(0)
        ran.ends[ended] += 1
        if resident:
            ran.resident.append(resident)
        if wrong:
            ran.bad.append(f"case {number}: {wrong}")


def _work(case: Case, seed: int, numbers: list[int], theirs: Connection) -> None:
    itself = psutil.Process()
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115 - until the process ends
    theirs.send(READY)
    for number in numbers:
        try:
            ended, wrong = case(chance_of(seed, number))
        except Exception as error:  # noqa: BLE001 - whatever it raises is a fault
            ended, wrong = "raised", f"raised {type(error).__name__}: {error}"
        resident = itself.memory_info().rss if number % 50 == 49 else 0
        theirs.send((ended, wrong, resident))
