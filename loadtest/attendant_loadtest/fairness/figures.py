"""What the measurement found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attendant_loadtest.bench.measurement import quantile
from attendant_loadtest.fairness.clients import FirstToken


@dataclass(frozen=True, slots=True)
class Waits:
    """First tokens of light clients in one part.

    Attributes:
        number: of them.
        p50_s, p99_s: from the request to the token, by the client's clock.
        server_p50_s, server_p99_s: from arrival to the token, by the server's.
        clients_cores: processors that all clients used meanwhile.
        heavy_per_s: weighted tokens a second that the heavy one got.
    """

    number: int
    p50_s: float
    p99_s: float
    server_p50_s: float
    server_p99_s: float
    clients_cores: float
    heavy_per_s: float = 0.0

    @classmethod
    def of(cls, first_tokens: Sequence[FirstToken], clients_cores: float, heavy_per_s: float) -> Waits:
        """Those of these tokens."""
        nan = float("nan")
        clients, servers = ([token[place] for token in first_tokens] or [nan] for place in (0, 1))
        return cls(
            len(first_tokens),
            quantile(clients, 0.5),
            quantile(clients, 0.99),
            quantile(servers, 0.5),
            quantile(servers, 0.99),
            clients_cores,
            heavy_per_s,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What was found of a server.

    Attributes:
        alone: of the light clients, paced, without the heavy one. beside: beside it.
        index: Jain's index of what all clients got when each had more requests than could run.
        shares: what each got of that, as shares; the heavy one's first.
        served_per_s: weighted tokens a second that they got together.
    """

    alone: Waits
    beside: Waits
    index: float
    shares: tuple[float, ...]
    served_per_s: float

    @classmethod
    def of(cls, alone: Waits, beside: Waits, had: Sequence[int], seconds: float) -> Figures:
        """Those of the two parts, and of what each client had in the third, of so many seconds."""
        index = sum(had) ** 2 / (len(had) * sum(each * each for each in had))
        return cls(alone, beside, index, tuple(each / sum(had) for each in had), sum(had) / seconds)

    def told(self) -> str:
        """The figures in words."""
        alone, beside = self.alone, self.beside
        shares = " ".join(f"{share:.3f}" for share in self.shares)
        return "\n".join(
            [
                f"first tokens of light clients, {alone.number} alone, {beside.number} beside the heavy one; p50, p99:",
                f"  by their clocks  {_row(alone.p50_s, alone.p99_s, beside.p50_s, beside.p99_s)}",
                "  by the server's  "
                + _row(alone.server_p50_s, alone.server_p99_s, beside.server_p50_s, beside.server_p99_s),
                f"processors that clients used: {alone.clients_cores:.2f} and {beside.clients_cores:.2f}; weighted "
                f"tokens a second of the heavy one: {beside.heavy_per_s:.0f}",
                f"all with more than can run: Jain's index {self.index:.4f}, {self.served_per_s:.0f} weighted tokens a "
                f"second, shares {shares}",
            ]
        )


def _row(alone_p50: float, alone_p99: float, beside_p50: float, beside_p99: float) -> str:
    return (
        f"{alone_p50:.4f}, {alone_p99:.4f} s alone; {beside_p50:.4f}, {beside_p99:.4f} s beside: "
        f"{beside_p50 / alone_p50:.2f} and {beside_p99 / alone_p99:.2f} times"
    )
