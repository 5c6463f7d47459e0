"""What a comparison found, as rows of figures: for the terminal, for JSON, and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from attendant.client.compare.figures import Spread

Better = Literal["more", "less", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both models, or of the pair.

    Attributes:
        values: numbers, or None where there is none; one if it is of the pair.
        unit: put behind a number; "%" shows a share as one.
        better: which number is the better one; empty if none is.
        spreads: the quarters of what was measured several times.
    """

    name: str
    values: tuple[float | None, ...]
    unit: str = ""
    better: Better = ""
    spreads: tuple[Spread | None, ...] = ()

    @classmethod
    def of_spreads(cls, name: str, spreads: tuple[Spread | None, ...], unit: str, better: Better) -> Row:
        """Medians, with their quarters."""
        return cls(name, tuple(each.median if each else None for each in spreads), unit, better, spreads)

    def texts(self) -> list[str]:
        """The values as people read them."""
        spreads = self.spreads or (None,) * len(self.values)
        return [_text(value, self.unit, spread) for value, spread in zip(self.values, spreads, strict=True)]

    @property
    def winner(self) -> int | None:
        """The index of the better value, if one is."""
        numbers = [value for value in self.values if value is not None]
        if not self.better or len(self.values) < 2 or len(numbers) < len(self.values) or len(set(numbers)) < 2:
            return None
        return self.values.index(max(numbers) if self.better == "more" else min(numbers))


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together, and in words how they were measured."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answers of both models to it."""

    prompt: str
    answers: tuple[str, str]


@dataclass(frozen=True)
class Report:
    """A comparison of two models."""

    models: tuple[str, str]
    precisions: tuple[str, str]
    num_cases: int
    sections: list[Section] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def dictionary(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """A table for the terminal."""
        heads = [f"{name} ({precision})" for name, precision in zip(self.models, self.precisions, strict=True)]
        cells = [row.texts() for section in self.sections for row in section.rows]
        names = [row.name for section in self.sections for row in section.rows]
        width = max(map(len, names), default=0) + 2
        widths = [max(len(heads[i]), *(len(cell[i]) for cell in cells if len(cell) > i)) + 2 for i in range(2)]
        yield f"{self.num_cases} prompts"
        for section in self.sections:
            yield ""
            yield f"{section.title:<{width}}{heads[0]:>{widths[0]}}{heads[1]:>{widths[1]}}"
            for row in section.rows:
                texts = row.texts()
                line = f"{row.name:<{width}}" + "".join(
                    f"{text:>{wide}}" for text, wide in zip(texts, widths, strict=False)
                )
                winner = row.winner
                yield line if winner is None else f"{line}  {'<' if winner == 0 else '>'}"
            if section.note:
                yield f"  {section.note}"


def _text(value: float | None, unit: str, spread: Spread | None) -> str:
    if value is None:
        return "-"
    text = _number(value, unit)
    if spread is not None and spread.low < spread.high:
        text += f" [{_number(spread.low, unit)}, {_number(spread.high, unit)}]"
    return f"{text} {unit}".rstrip() if unit != "%" else text


def _number(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "%" else f"{value:.4g}"
