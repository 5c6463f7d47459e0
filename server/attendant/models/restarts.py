"""How often a model whose engine died is loaded anew, and after which pause: a book without clock or threads."""

from __future__ import annotations

from collections import deque

LONGEST_PAUSE_S = 60.0


class Restarts:
    """The deaths of models that count.

    Args:
        most: restarts of one model within the window.
        window_s: seconds after which a death counts no more.
        pause_s: before the first of them; twice as long after each further death, up to a minute.
    """

    def __init__(self, most: int, window_s: float, pause_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._pause_s = pause_s
        self._deaths: dict[str, deque[float]] = {}

    def died(self, model: str, now_s: float) -> float | None:
        """A model has died, or could not be loaded anew. Returns the seconds to wait before it is loaded; None: it is
        not, as it has died too often."""
        deaths = self._deaths.setdefault(model, deque())
        while deaths and now_s - deaths[0] >= self._window_s:
            deaths.popleft()
        deaths.append(now_s)
        if len(deaths) > self._most:
            return None
        return min(self._pause_s * 2.0 ** (len(deaths) - 1), max(LONGEST_PAUSE_S, self._pause_s))
