"""Composes reviews of phones, each with what it says on the whole. The same seed gives the same reviews.

negative, positive: every opinion is, or the reviewer concludes so in spite of one that is not.
neutral: facts, middling opinions, or one good and one bad thing without a conclusion.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from attendant_demo.grammar import sample
from attendant_demo.noise import mistyped
from attendant_demo.phrases import Split
from attendant_demo.sentiment.phrases import LABELS, Phrases, load_phrases
from attendant_demo.words import slot_value

Side = Literal["good", "bad"]
_SIDES: dict[str, tuple[Side, Side]] = {"positive": ("good", "bad"), "negative": ("bad", "good")}
_CLAUSES = {"part": 27, "special": 20, "phone": 25, "negated": 16, "denied": 12}
_DETAILS = {"part": 50, "special": 30, "denied": 20}
_ANY: dict[str, tuple[Side, Mapping[str, int]]] = {  # slots that stand for a clause of any kind
    "good": ("good", _CLAUSES),
    "bad": ("bad", _CLAUSES),
    "good_detail": ("good", _DETAILS),
    "bad_detail": ("bad", _DETAILS),
}
# Private characters that mark in a text being composed where a clause begins, with its label, and where it ends.
_STARTS = {label: chr(0xE000 + index) for index, label in enumerate(LABELS)}
_STOP = chr(0xE000 + len(LABELS))
_MARKED = {
    **{f"good_{kind}": _STARTS["positive"] for kind in _CLAUSES},
    **{f"bad_{kind}": _STARTS["negative"] for kind in _CLAUSES},
    "fact": _STARTS["neutral"],
    "okay": _STARTS["neutral"],
    "verdict_good": _STARTS["positive"],
    "verdict_bad": _STARTS["negative"],
}
_FIRST = re.compile(r"\w")
_OUTSIDE = frozenset({"product", "pseudo"})
_STRANGE = 0.15  # share of names that are invented words in training: what they are called should not matter
_EMOJI = {
    "positive": ("👍", "😍", "😊", "❤️", "🙂", "👍👍", "🎉"),
    "negative": ("👎", "😡", "😞", "😠", "🙁", "👎👎", "💩"),
}
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou](?!nce\b|ne\b|se|ni))")
_GAP = re.compile(r"\s+('s\b)")
_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True)
class Span:
    """A clause of a review: its first character, the one after its last, and what the clause says by itself."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Review:
    """A review and its label. ``clear``: every opinion in it says the same. ``spans``: its clauses, where known."""

    text: str
    label: str
    clear: bool
    spans: tuple[Span, ...]

    def normal(self) -> str:
        """The text as :func:`normal` makes it."""
        return normal(self.text)


def normal(text: str) -> str:
    """A text without case and punctuation, to compare splits."""
    return " ".join(_WORD.findall(text.lower()))


class Reviewer:
    """Composes reviews of one split; of the held-out one from held-out phrases only, but for shared lists."""

    def __init__(self, split: Split, seed: int, phrases: Phrases | None = None) -> None:
        self._split: Split = split
        self._rng = random.Random(f"reviews:{split}:{seed}")
        phrases = phrases or load_phrases()
        self._lists = phrases.lists
        self._inside = False  # a clause that is marked
        self._strange = phrases.names if split == "train" else frozenset()

    def reviews(self, count: int) -> Iterator[Review]:
        """``count`` reviews, as many of each label."""
        for index in range(count):
            label = LABELS[index % len(LABELS)]
            sentences, clear = self._neutral() if label == "neutral" else self._sided(label)
            yield self._written(sentences, label, clear)

    def drills(self, count: int) -> Iterator[Review]:
        """Reviews of one sentence, as many of each label: the model learns first what words and negations mean."""
        for index in range(count):
            label = LABELS[index % len(LABELS)]
            if label == "neutral":
                kind = self._rng.choice(("fact", "okay", "mixed"))
                yield self._written([self._say(kind)], label, kind != "mixed")
            else:
                yield self._written([self._clause(_SIDES[label][0])], label, True)

    def _sided(self, label: str) -> tuple[list[str], bool]:
        """Sentences that are all of one side, or that conclude so."""
        rng, (side, other) = self._rng, _SIDES[label]
        kind = rng.choices(("one", "pair", "several", "facts", "despite", "verdict"), (38, 17, 17, 13, 6, 9))[0]
        if kind == "one":
            return [self._clause(side)], True
        if kind == "pair":
            return [self._say(f"pair_{side}")], True
        if kind == "several":
            return self._several(side), True
        if kind == "facts":
            sentences = [self._clause(side)] + [self._say("fact") for _ in range(rng.choice((1, 1, 2)))]
            rng.shuffle(sentences)
            return sentences, True
        if kind == "despite":
            return [self._say(f"despite_{side}")], False
        before = rng.choice((self._clause(other, _DETAILS), self._say("mixed"), self._clause(side)))
        return [before, self._say(f"verdict_{side}")], False

    def _several(self, side: Side) -> list[str]:
        sentences = [self._clause(side) for _ in range(self._rng.choice((2, 2, 3, 4)))]
        if self._rng.random() < 0.3:
            sentences.append(self._say(f"verdict_{side}"))
        if self._rng.random() < 0.25:
            sentences.insert(0, self._say("fact"))
        return sentences

    def _neutral(self) -> tuple[list[str], bool]:
        """Facts, middling opinions, or opinions of both sides."""
        rng = self._rng
        kind = rng.choices(("facts", "okay", "both", "mixed", "mixed_fact"), (30, 20, 10, 32, 8))[0]
        if kind == "facts":
            return [self._say("fact") for _ in range(rng.choice((1, 1, 2, 3)))], True
        if kind == "okay":
            return [self._say("okay") for _ in range(rng.choice((1, 1, 2)))], True
        if kind == "both":
            sentences = [self._say("okay"), self._say("fact")]
        else:
            sentences = [self._say("mixed")] + [self._say("fact")] * (kind == "mixed_fact")
        rng.shuffle(sentences)
        return sentences, kind == "both"

    def _clause(self, side: Side, kinds: Mapping[str, int] = _CLAUSES) -> str:
        return self._say(f"{side}_{self._rng.choices(list(kinds), list(kinds.values()))[0]}")

    def _say(self, name: str) -> str:
        """A phrase of the list ``name``, slots filled in turn."""
        if name in _ANY:
            return self._clause(*_ANY[name])
        if name in _MARKED and not self._inside:
            return self._marked(name)
        if name in self._strange and self._rng.random() < _STRANGE:
            name = "pseudo"
        if name in _OUTSIDE:
            return slot_value(name, self._rng)
        line = self._rng.choice(self._lists[name][self._split])
        return sample(line.pattern, self._rng, self._say)

    def _marked(self, name: str) -> str:
        """A clause between marks of what it says."""
        self._inside = True
        text = self._say(name)
        self._inside = False
        return f"{_MARKED[name]}{text}{_STOP}"

    def _written(self, sentences: list[str], label: str, clear: bool) -> Review:
        """The review whose sentences these are, as a person may write it."""
        rng = self._rng
        if rng.random() < 0.12:
            sentences[0] = f"{self._say('opener')}{rng.choice((', ', ', ', ' '))}{sentences[0]}"
        if rng.random() < 0.05:
            sentences[-1] += f"{rng.choice((', ', ' '))}{self._say('closer')}"
        ends = ("!", "!!", ".", "") if clear and label != "neutral" else (".", "", "...", ".")
        end = rng.choice(ends) if rng.random() < 0.4 else "."
        between = rng.choices((f"{end or '.'} ", ", ", " "), (80, 12, 8))[0]
        if between.startswith((".", "!")):
            sentences = [_FIRST.sub(lambda first: first[0].upper(), sentence, count=1) for sentence in sentences]
        text = between.join(_ARTICLE.sub(r"\1n ", _GAP.sub(r"\1", sentence)) for sentence in sentences) + end
        text = _noisy(text, rng)
        if clear and label in _EMOJI and rng.random() < 0.05:
            text += " " + rng.choice(_EMOJI[label])
        return _unmarked(text, label, clear)


def _unmarked(marked: str, label: str, clear: bool) -> Review:
    """The review of a text with marks."""
    labels = {mark: name for name, mark in _STARTS.items()}
    text, spans, start, said = "", [], 0, ""
    for letter in marked:
        if letter in labels:
            start, said = len(text), labels[letter]
        elif letter == _STOP:
            spans.append(Span(start, len(text), said))
        else:
            text += letter
    return Review(text, label, clear, tuple(spans))


def _noisy(text: str, rng: random.Random) -> str:
    """Typing errors in one review of four, lost apostrophes, all lower or upper case."""
    words = text.split(" ")
    if rng.random() < 0.25:
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(words))
            if len(words[at]) > 4 and words[at].isalpha():
                words[at] = mistyped(words[at], rng)
    text = " ".join(words)
    if rng.random() < 0.15:
        text = text.replace("'", "")
    case = rng.random()
    if case < 0.3:
        return text.lower()
    return text.upper() if case < 0.33 else text


def held_out(seed: int, count: int, known: Set[str]) -> list[Review]:
    """``count`` held-out reviews or a few less: those whose normal form is in ``known`` are left out."""
    return [review for review in Reviewer("held_out", seed).reviews(count) if review.normal() not in known]
