"""A peer's process as a way of running a workload."""

from __future__ import annotations

from collections.abc import Sequence

from attendant_loadtest.bench.environments import PeerFailed
from attendant_loadtest.bench.measurement import Measurement, quantile
from attendant_loadtest.bench.processes import Answering, Ended
from attendant_loadtest.bench.workload import Workload


class Peer:
    """A running peer. ``end``: tokens that every prompt ends with."""

    def __init__(self, process: Answering, end: Sequence[int] = ()) -> None:
        self._process = process
        self._end = tuple(end)

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    def measure(self, workload: Workload) -> Measurement:
        """All requests at once, in batches of ``concurrency`` where it has static ones; or as they arrive.

        Raises:
            PeerFailed: it has ended.
        """
        prompts = [[*prompt, *self._end] for prompt in workload.prompts()]
        asked = {
            "prompts": prompts,
            "batch": workload.concurrency,
            "new_tokens": workload.new_tokens,
            "arrivals": workload.arrivals(),
        }
        try:
            found = self._process.ask(asked)
        except Ended:
            raise PeerFailed("the peer ended early; its error is above") from None
        assert found["generated"] == workload.num_requests * workload.new_tokens, "every answer has its full length"
        first = found.get("first_token_ms", ())
        figures = {f"first_token_p{share}_ms": quantile(first, share / 100) for share in (50, 99) if first}
        return Measurement(found["generated"], sum(map(len, prompts)), found["wall_s"], figures=figures)
