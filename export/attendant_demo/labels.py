"""Which intent an answer belongs to: that of the composed answer that shares most word pairs with it."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from attendant_demo.grammar import expand
from attendant_demo.phrases import Phrases, load_phrases

NONE = "none"
_LEAST_LIKENESS = 0.6
_SLOT = re.compile(r"<[a-z_0-9]+>")
_WORD = re.compile(r"[a-z0-9$@.]*[a-z0-9]")
_GREETED = re.compile(r"^Hello [^!?.]{1,24}! ")


def _pairs(text: str) -> Counter[tuple[str, str]]:
    words = ["^", *_WORD.findall(text.lower()), "$"]
    return Counter(pairwise(words))


class Labeller:
    """Names the intent of an answer by its likeness to all composed answers.

    The likeness is the Dice coefficient of the two answers' pairs of neighbouring words; below 0.6 the label is
    ``none``, so a garbled answer is never right.
    """

    def __init__(self, phrases: Phrases | None = None) -> None:
        texts = {
            (label, _SLOT.sub(" ", text))
            for label, answer in (phrases or load_phrases()).labelled_answers()
            for text in expand(answer.pattern)
        }
        self._known = [(label, _pairs(text)) for label, text in sorted(texts)]

    def label(self, answer: str) -> str:
        """The intent, ``intent/follow-up``, or ``none``."""
        best, likeness = NONE, _LEAST_LIKENESS
        for said in {answer, _GREETED.sub("", answer)}:
            pairs = _pairs(said)
            for label, known in self._known:
                shared = sum(min(count, pairs[pair]) for pair, count in known.items() if pair in pairs)
                dice = 2 * shared / (pairs.total() + known.total())
                if dice > likeness:
                    best, likeness = label, dice
        return best
