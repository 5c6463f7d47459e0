"""How often requests lately came to an engine, and how large they were: what is to be expected besides."""

from __future__ import annotations

from collections import deque

from attendant.frontend.generation.lengths import AnswerLengths
from attendant.frontend.generation.tracked import Tracked

WINDOW_NS = 2_000_000_000
"""Nanoseconds over which arrivals are counted."""

FEWEST = 4
"""Arrivals in that time that are taken to go on."""

LATEST = 0.05
"""What the latest request weighs in what one is like on average."""


class Arrivals:
    """Of one engine, whether they were let in or not. ``lengths``: what is known of the lengths of answers."""

    def __init__(self, lengths: AnswerLengths) -> None:
        self._lengths = lengths
        self._arrivals: deque[int] = deque(maxlen=256)
        self._mean_prompt = self._mean_answer = 0.0

    def asked(self, request: Tracked, now_ns: int) -> None:
        """Somebody wants something, whether it is let in or not."""
        self.came(now_ns)
        answer = float(self._lengths.expected(0, request.answer)) if request.least < request.answer else request.answer
        first = not self._mean_answer
        share = 1.0 if first else LATEST
        self._mean_prompt += share * (request.prompt - self._mean_prompt)
        self._mean_answer += share * (answer - self._mean_answer)

    def came(self, now_ns: int) -> None:
        """Somebody came who wants something, nobody knows what."""
        self._arrivals.append(now_ns)

    def usual(self, now_ns: int) -> tuple[float, int, int] | None:
        """Seconds from one to the next, and tokens of prompt and answer; None: too few have come to tell."""
        while self._arrivals and now_ns - self._arrivals[0] > WINDOW_NS:
            self._arrivals.popleft()
        count = len(self._arrivals)
        if count < FEWEST:
            return None
        span_ns = WINDOW_NS if count < (self._arrivals.maxlen or 0) else now_ns - self._arrivals[0]
        interval_s = max(span_ns / 1e9 / count, 1e-4)
        return interval_s, max(round(self._mean_prompt), 1), max(round(self._mean_answer), 1)
