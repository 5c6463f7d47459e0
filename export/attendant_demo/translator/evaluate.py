"""How good the translator is: exact matches on sentences and pairs of words that training never had, and typed ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from attendant_demo.translator.composer import Composer, Example, Part
from attendant_demo.translator.translate import Translator
from attendant_demo.translator.words import lines

_SEED = 1
SAMPLES = (
    "Where is the station?",
    "I would like two coffees, please.",
    "My sister doesn't have a red car.",
    "We are going to visit the old castle tomorrow.",
    "How much does this blue shirt cost?",
    "The train to Lyon leaves at half past three.",
)


@dataclass(frozen=True)
class Score:
    """Share of examples whose translation is the reference to the letter, and the first mistakes.

    Attributes:
        wrong: "English | reference | translation".
    """

    examples: int
    exact: float
    wrong: tuple[str, ...]


def scores(translate: Translator, count: int = 1000) -> dict[str, object]:
    """What a translator makes of ``count`` held-out sentences, ``count`` with new pairs of words, and typed ones."""
    parts: tuple[Part, ...] = ("held_out", "new_pairs")
    report: dict[str, object] = {part: asdict(score(translate, held_out(part, count))) for part in parts}
    report["typed"] = asdict(score(translate, typed()))
    report["samples"] = dict(zip(SAMPLES, translate(SAMPLES), strict=True))
    return report


def score(translate: Translator, examples: list[Example], most_wrong: int = 20) -> Score:
    """Compares translations of ``examples`` with their references."""
    found = translate([example.english for example in examples])
    wrong = [
        f"{example.english} | {example.french} | {text}"
        for example, text in zip(examples, found, strict=True)
        if text != example.french
    ]
    return Score(len(examples), round(1 - len(wrong) / len(examples), 4), tuple(wrong[:most_wrong]))


def held_out(part: Part, count: int) -> list[Example]:
    """Different sentences that training never has."""
    return list({example.english: example for example in Composer(part, _SEED).examples(count)}.values())


def typed() -> list[Example]:
    """Sentences typed by hand, with their translations."""
    return [Example(*line.split(" = ", 1)) for line in lines("typed")]
