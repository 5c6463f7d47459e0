"""One window of offered load, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio

from attendant_loadtest.bench.measurement import quantile
from attendant_loadtest.overload.calls import ANSWERED, LATE, REFUSED, Ended, Kind
from attendant_loadtest.overload.offered import offer
from attendant_loadtest.overload.oracle import Verdict
from attendant_loadtest.overload.servers import Counted, Server


@dataclass(frozen=True, slots=True)
class Window:
    """What came in one window, and what the server's runs did while requests arrived.

    Attributes:
        load: requests that were offered, as a multiple of what the server can do.
        predicts: the server refuses what would be late.
    """

    load: float
    predicts: bool
    seconds: float
    ended: tuple[Ended, ...]
    counted: Counted


@dataclass(frozen=True, slots=True)
class Figures:
    """What a window says. Times in seconds; None where there was nothing to tell it from.

    Attributes:
        goodput: calls that were answered within their deadline, by what the server can do.
        missed: of those let in, the share that missed its deadline.
        p50_s, p99_s: of those answered.
        refusal_p99_s: how long a refusal took, as its caller saw it. served_p99_s: the server's own share of that, from
            where it takes the call up.
        tokens_per_s: that its runs computed, while requests arrived.
        busy: the share of that time that a run went on.
        could: of the refused that the oracle looked at, the share that could have been answered.
        spare: the share that could have been answered beside all others by time in which nothing ran.
        error: of the oracle: see :class:`attendant_loadtest.overload.oracle.Verdict`.
    """

    load: float
    predicts: bool
    offered: int
    answered: int
    refused: int
    late: int
    goodput: float
    missed: float
    p50_s: float | None
    p99_s: float | None
    refusal_p99_s: float | None
    served_p99_s: float | None
    tokens_per_s: float
    busy: float
    could: float | None = None
    spare: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered: ``load`` times ``per_s`` calls a second for so many seconds, each with a deadline in seconds."""

    load: float
    per_s: float
    seconds: float
    deadline_s: float
    seed: int


async def watch(kind: Kind, server: Server, offered: Offer, *, predicts: bool) -> Window:
    """Offer calls to a server, and take down what it does as long as they arrive."""
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        before = await asyncio.to_thread(server.counted, encoder=kind.is_encoder)
        call, per_s = kind.call(channel, offered.seed), offered.load * offered.per_s
        offering = asyncio.create_task(offer(call, per_s, offered.seconds, offered.deadline_s, offered.seed))
        await asyncio.wait([offering], timeout=offered.seconds)
        after = await asyncio.to_thread(server.counted, encoder=kind.is_encoder)
        ended = await offering
    return Window(offered.load, predicts, offered.seconds, tuple(ended), after.since(before))


def figures(window: Window, per_s: float, deadline_s: float, verdict: Verdict | None = None) -> Figures:
    """What a window says, of a server that can do so many calls a second."""
    answered = [each for each in window.ended if each.how == ANSWERED and each.took_s <= deadline_s]
    refused = [each.took_s for each in window.ended if each.how == REFUSED]
    late = sum(each.how == LATE or (each.how == ANSWERED and each.took_s > deadline_s) for each in window.ended)
    took = [each.took_s for each in answered]
    looked = verdict.looked_at if verdict is not None else 0
    return Figures(
        load=window.load,
        predicts=window.predicts,
        offered=len(window.ended),
        answered=len(answered),
        refused=len(refused),
        late=late,
        goodput=len(answered) / window.seconds / per_s,
        missed=late / max(1, late + len(answered)),
        p50_s=quantile(took, 0.5) if took else None,
        p99_s=quantile(took, 0.99) if took else None,
        refusal_p99_s=quantile(refused, 0.99) if refused else None,
        served_p99_s=window.counted.refusal_s(0.99),
        tokens_per_s=window.counted.tokens / window.seconds,
        busy=window.counted.seconds / window.seconds,
        could=verdict.wrong / looked if verdict is not None and looked else None,
        spare=verdict.spare / looked if verdict is not None and looked else None,
        error=verdict.error if verdict is not None else None,
    )


def conserving(found: Sequence[Figures]) -> dict[float, float]:
    """Tokens a second with predictions over those without, at each load from what the server can do on: how much work
    is left undone by refusing."""
    pairs = {each.load: each for each in found if each.predicts and each.load >= 1}
    return {
        off.load: pairs[off.load].tokens_per_s / off.tokens_per_s
        for off in found
        if not off.predicts and off.load in pairs and off.tokens_per_s
    }


def table(found: Sequence[Figures]) -> str:
    """The figures as a table of Markdown, a row for each window."""
    heads = (
        "load",
        "predicts",
        "goodput",
        "p50",
        "p99",
        "missed",
        "refused",
        "refusal p99",
        "of the server",
        "could have",
        "spare",
        "tokens/s",
    )
    rows = [heads, ("---:", "---", *["---:"] * (len(heads) - 2))]
    for each in found:
        rows.append(
            (
                f"{each.load:g}x",
                "yes" if each.predicts else "no",
                f"{each.goodput:.2f}",
                _seconds(each.p50_s),
                _seconds(each.p99_s),
                f"{each.missed:.1%}",
                f"{each.refused / max(1, each.offered):.0%}",
                *(
                    "" if each_s is None else f"{each_s * 1e3:.1f} ms"
                    for each_s in (each.refusal_p99_s, each.served_p99_s)
                ),
                *("" if share is None else f"{share:.0%}" for share in (each.could, each.spare)),
                f"{each.tokens_per_s:,.0f}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
