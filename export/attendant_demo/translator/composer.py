"""Sentences and their translations: any number, each English one with one French one, for training or held out."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from attendant_demo.translator import english, french
from attendant_demo.translator.clauses import Clauses
from attendant_demo.translator.nouns import Pair, Things
from attendant_demo.translator.pairs import WordPairs, bucket
from attendant_demo.translator.slots import Templates
from attendant_demo.translator.words import lexicon

Part = Literal["train", "held_out", "new_pairs"]
"""Sentences that training may use; those that it may not; and those with two words that it has not seen together."""

_KEPT = 50
_TWO = 0.12
_BEFORE_MARK = re.compile(r"\s+([,.?!])")
_BEFORE_FRENCH_MARK = re.compile(r"\s+([,.])")


@dataclass(frozen=True)
class Example:
    """A sentence, or two, and its translation."""

    english: str
    french: str


class Composer:
    """Composes examples of one part; the same seed gives the same."""

    def __init__(self, part: Part, seed: int) -> None:
        self._part = part
        self._rng = random.Random(f"{part} {seed}")
        self._pairs = WordPairs(new=part == "new_pairs")
        words = lexicon()
        things = Things(words, self._rng, self._pairs)
        self._clauses = Clauses(words, self._rng, things, self._pairs)
        self._templates = Templates(words, self._rng, things, self._clauses)

    def examples(self, count: int) -> Iterator[Example]:
        """``count`` examples of this part."""
        made = 0
        while made < count:
            example = self._example()
            if example is not None:
                made += 1
                yield example

    def _example(self) -> Example | None:
        """One example, if it belongs to this part."""
        self._pairs.num_new = 0
        sentences = [self._sentence() for _ in range(2 if self._rng.random() < _TWO else 1)]
        kept = any(is_kept for _, is_kept in sentences)
        belongs = self._pairs.num_new > 0 if self._part == "new_pairs" else kept == (self._part == "held_out")
        if not belongs:
            return None
        here = " ".join(example.english for example, _ in sentences)
        there = " ".join(example.french for example, _ in sentences)
        return Example(self._typed(english.contracted(here, self._rng)), there)

    def _sentence(self) -> tuple[Example, bool]:
        """One sentence, and whether it is kept from training."""
        (here, there), varies = self._raw()
        here = _BEFORE_MARK.sub(r"\1", english.spell(here))
        there = _BEFORE_FRENCH_MARK.sub(r"\1", french.spell(there))
        return Example(here, there), varies and bucket(normal(here), _KEPT) == 0

    def _raw(self) -> tuple[Pair, bool]:
        kind = self._rng.random()
        if kind < 0.5:
            return self._templates.sentence()
        if kind < 0.85:
            here, there = self._clauses.statement()
            return (f"{here}.", f"{there}."), True
        here, there = self._clauses.question()
        return (f"{here}?", f"{there} ?"), True

    def _typed(self, text: str) -> str:
        """As people type: sometimes without a last mark, or in lower case."""
        kind = self._rng.random()
        if kind < 0.1:
            text = text.rstrip(".?")
        if kind < 0.05:
            text = text[0].lower() + text[1:]
        return text


def normal(text: str) -> str:
    """What tells sentences apart: words, without case, marks and contractions."""
    words = text.lower().replace("n't", " not").replace("cannot", "can not").replace("'m", " am").replace("'re", " are")
    return " ".join(re.findall(r"[\w:]+", words.replace("'s", " is").replace("'d", " would").replace("'ve", " have")))
