"""Reads the phrase files: which intents there are, how people ask, how the assistant answers, and what is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal

from attendant_demo.grammar import Choice, Sequence, parse, slots

Split = Literal["train", "held_out"]
FILES = ("orders.txt", "returns.txt", "account.txt", "shop.txt", "talk.txt")
FOLLOW = "follow:"
HELD_OUT_ONE_IN = 8


@dataclass(frozen=True)
class Answer:
    """An answer pattern and the slots that it needs."""

    pattern: Sequence
    needs: frozenset[str]


@dataclass
class Intent:
    """What a customer wants.

    ``takes_order``: an order number may stand beside the question. ``follow_ups``: the answers to ``follow:`` questions
    (how long, what cost, where) that come after this intent.
    """

    name: str
    takes_order: bool = False
    questions: dict[Split, list[Sequence]] = field(default_factory=lambda: {"train": [], "held_out": []})
    answers: list[Answer] = field(default_factory=list)
    follow_ups: dict[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True)
class Phrases:
    """All intents by name, the questions of each kind of follow-up, and the shared words."""

    intents: Mapping[str, Intent]
    lexicon: Mapping[str, Sequence]

    def labelled_answers(self) -> Iterator[tuple[str, Answer]]:
        """Every answer with its label: the intent, or ``intent/follow-up``."""
        for intent in self.intents.values():
            for answer in intent.answers:
                yield intent.name, answer
            for kind, answer in intent.follow_ups.items():
                yield f"{intent.name}/{kind}", answer


def _lines(name: str) -> Iterator[str]:
    text = resources.files("attendant_demo").joinpath("phrases", name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.rstrip()


def _divide(patterns: list[tuple[str, Sequence]]) -> dict[Split, list[Sequence]]:
    """Hold out one pattern in eight, those whose text has the lowest hashes.

    The first pattern always trains: it is the plainest way to ask, which everybody tries first. So does a bare list of
    fragments: it has no phrasing to hold out.
    """
    phrasings = [text for text, parsed in patterns[1:] if not (len(parsed) == 1 and isinstance(parsed[0], Choice))]
    count = max(1, round(len(phrasings) / HELD_OUT_ONE_IN)) if len(phrasings) >= 4 else 0
    held_out = set(sorted(phrasings, key=lambda text: hashlib.sha256(text.encode()).digest())[:count])
    return {
        "train": [pattern for text, pattern in patterns if text not in held_out],
        "held_out": [pattern for text, pattern in patterns if text in held_out],
    }


@cache
def load_phrases() -> Phrases:
    """Read all phrase files of this package."""
    lexicon: dict[str, Sequence] = {}
    for line in _lines("lexicon.txt"):
        name, _, rest = line.partition(" ")
        lexicon[name.removeprefix("@")] = parse(rest, lexicon)
    intents: dict[str, Intent] = {}
    for file in FILES:
        intent = Intent("")
        questions: dict[str, list[tuple[str, Sequence]]] = {}
        for line in _lines(file):
            mark, _, rest = line.partition(" ")
            if mark == "==":
                name, *flags = rest.split()
                intent = intents[name] = Intent(name, takes_order="order" in flags)
            elif mark == "?":
                pattern = parse(rest, lexicon)
                questions.setdefault(intent.name, []).append((rest, pattern))
            elif mark == "!":
                pattern = parse(rest, lexicon)
                intent.answers.append(Answer(pattern, frozenset(slots(pattern))))
            elif mark.startswith("+"):
                pattern = parse(rest, lexicon)
                intent.follow_ups[mark[1:]] = Answer(pattern, frozenset(slots(pattern)))
            else:
                raise ValueError(f"{file}: cannot read {line!r}")
        for name, asked in questions.items():
            intents[name].questions = _divide(asked)
    return Phrases(intents, lexicon)


def typed_questions() -> list[tuple[str, str]]:
    """Questions typed by hand, with their intents. They are never trained on."""
    pairs = (line.partition(": ") for line in _lines("typed.txt"))
    return [(intent, question) for intent, _, question in pairs]
