"""What a replay found, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from attendant_proto.v1 import receipt_pb2

from attendant.client.replay.again import Outcome
from attendant.client.replay.differences import Change, first_difference, maker_changes

SHOWN_CONTEXT = 40
"""Characters before the first difference of two texts that are shown."""

SHOWN_CHARACTERS = 100
"""Of a text from there on."""


@dataclass
class Tally:
    """The outcomes so far.

    Attributes:
        makers: for each model that was asked, what differs between what made the answers then and now.
        shown: outcomes that are not equal, at most ``max_shown``.
    """

    max_shown: int
    num_same: int = 0
    num_changed: int = 0
    num_failed: int = 0
    makers: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    shown: list[Outcome] = field(default_factory=list)
    first_tokens: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome, now: receipt_pb2.Maker | None) -> None:
        """Count one. ``now``: what makes the answers of the model that was asked, if that is known."""
        then = outcome.call.receipts[0].maker
        if now is not None and outcome.call.receipts[0].digest:
            for change in maker_changes(then, now):
                self.makers[outcome.model, change.where, change.before, change.after] += 1
        if outcome.error:
            self.num_failed += 1
        elif outcome.changes:
            self.num_changed += 1
            self.first_tokens += [change.token for change in outcome.changes if change.token is not None]
        else:
            self.num_same += 1
            return
        if len(self.shown) < self.max_shown:
            self.shown.append(outcome)

    @property
    def num_compared(self) -> int:
        """Calls whose answer could be compared."""
        return self.num_same + self.num_changed

    @property
    def share(self) -> float:
        """Of the answers that could be compared, how many changed: 0 to 1."""
        return self.num_changed / self.num_compared if self.num_compared else 0.0


def lines(tally: Tally) -> Iterator[str]:
    """A report for people."""
    for (model, where, before, after), count in sorted(tally.makers.items()):
        yield f"{model}: {where} was {before}, is {after}  ({count} {_plural(count, 'call')})"
    if not tally.makers and tally.num_compared:
        yield "what makes the answers is the same: bundle, versions, processor"
    for outcome in tally.shown:
        yield ""
        yield from _outcome(outcome)
    hidden = tally.num_changed + tally.num_failed - len(tally.shown)
    if hidden:
        yield f"... and {hidden} more"
    yield ""
    total = tally.num_compared
    yield f"{tally.num_changed} of {total} {_plural(total, 'answer')} changed ({tally.share:.1%})"
    if tally.first_tokens:
        ordered = sorted(tally.first_tokens)
        yield f"first differing token: {ordered[0]} at the earliest, {ordered[len(ordered) // 2]} in the median"
    if tally.num_failed:
        yield f"{tally.num_failed} {_plural(tally.num_failed, 'call')} could not be compared"


def dictionary(tally: Tally) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "compared": tally.num_compared,
        "same": tally.num_same,
        "changed": tally.num_changed,
        "failed": tally.num_failed,
        "share_changed": tally.share,
        "makers": [
            {"model": model, "what": where, "before": before, "after": after, "calls": count}
            for (model, where, before, after), count in sorted(tally.makers.items())
        ],
        "outcomes": [
            {
                "place": outcome.place,
                "call": outcome.call.call,
                "model": outcome.model,
                "error": outcome.error,
                "changes": list(map(_change, outcome.changes)),
                "reasons": list(map(_change, outcome.reasons)),
            }
            for outcome in tally.shown
        ],
    }


def around(before: str, after: str) -> tuple[str, str]:
    """Two texts from a little before the first character that differs."""
    start = max(0, (first_difference(before, after) or 0) - SHOWN_CONTEXT)
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    piece = " ".join(text[start : start + SHOWN_CONTEXT + SHOWN_CHARACTERS].split("\n"))
    end = "..." if start + SHOWN_CONTEXT + SHOWN_CHARACTERS < len(text) else ""
    return f"{'...' if start else ''}{piece}{end}"


def _outcome(outcome: Outcome) -> Iterator[str]:
    if outcome.error:
        yield f"{outcome.place}  {outcome.call.call} on {outcome.model}: {outcome.error}"
        return
    for change in outcome.changes:
        what = f"{change.where}: {change.before} -> {change.after}"
        yield f"{outcome.place}  {outcome.call.call} on {outcome.model}: {what}"
        if any(change.texts):
            before, after = around(*change.texts)
            yield f"  before  {before}"
            yield f"  after   {after}"
    for reason in outcome.reasons:
        yield f"  because {reason.where} was {reason.before}, is {reason.after}"


def _change(change: Change) -> dict[str, Any]:
    values: dict[str, Any] = {"where": change.where, "before": change.before, "after": change.after}
    if change.token is not None:
        values |= {"token": change.token, "token_ids": list(change.token_ids)}
    return values | ({"texts": list(change.texts)} if any(change.texts) else {})


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
