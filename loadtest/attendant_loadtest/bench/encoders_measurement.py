"""What one measurement of an encoder found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attendant_loadtest.bench.measurement import quantile


@dataclass(frozen=True, slots=True)
class Encoded:
    """One way of running some texts once.

    Attributes:
        sequences, tokens: computed, without padding.
        wall_s: from the first submit to the last answer.
        latencies_ms: of each call (or run), from submit to answer.
        others: processors that foreign processes used meanwhile, on average.
        figures: whatever else this way of running can tell, by name.
    """

    sequences: int
    tokens: int
    wall_s: float
    latencies_ms: Sequence[float]
    others: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Sequences a second."""
        return self.sequences / self.wall_s

    def latency_ms(self, share: float) -> float:
        """What ``share`` of the calls did not exceed."""
        return quantile(self.latencies_ms, share)
