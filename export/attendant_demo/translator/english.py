"""English spelling: forms of nouns and verbs that follow rules, a and an, and contractions."""

from __future__ import annotations

import random
import re
from functools import partial

_AN = re.compile(r"\b([Aa]) (?=[aeiouAEIOU8]|11\b|18\b|hour|honest)(?!uni|eu|one\b|use)")
_SHORT = (
    (re.compile(r"\b([Cc])annot\b"), r"\1an't"),
    (re.compile(r"\b(do|does|did|is|are|was|were|must)(?: not)\b", re.IGNORECASE), r"\1n't"),
    (re.compile(r"\bI am\b"), "I'm"),
    (re.compile(r"\b(he|she|it|that) is\b(?! ?[?.])", re.IGNORECASE), r"\1's"),
    (re.compile(r"\b(what|where|who) is(?= (?:the|my|your|his|her|our|their|this|that) )", re.IGNORECASE), r"\1's"),
    (re.compile(r"\b(we|you|they) are\b", re.IGNORECASE), r"\1're"),
    (re.compile(r"\b(I|he|she|we|you|they) would like\b", re.IGNORECASE), r"\1'd like"),
    (re.compile(r"\bI have (lost|forgotten|never)\b"), r"I've \1"),
    (re.compile(r"\bI will\b"), "I'll"),
)


def spell(raw: str) -> str:
    """The sentence of raw words: with "an" before vowels, and a capital at its beginning."""
    text = _AN.sub(r"\1n ", " ".join(raw.split()))
    at = next((index for index, letter in enumerate(text) if letter.isalnum()), 0)
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


def contracted(text: str, rng: random.Random) -> str:
    """Some of what can be written short ("don't", "I'm") so."""

    def shortened(match: re.Match[str], short: str) -> str:
        return match.expand(short) if rng.random() < 0.5 else match[0]

    for pattern, short in _SHORT:
        text = pattern.sub(partial(shortened, short=short), text)
    return text


def plural(word: str) -> str:
    """The plural of a noun, the last word of which is inflected."""
    if re.search(r"(s|x|sh|ch|tato|mato)$", word):
        return word + "es"
    return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"


def third(verb: str) -> str:
    """ "he" form of the present; the first word is inflected."""
    first, space, rest = verb.partition(" ")
    if first in ("have", "be"):
        return {"have": "has", "be": "is"}[first] + space + rest
    ends = "es" if re.search(r"(s|x|sh|ch|o)$", first) else "s"
    form = first[:-1] + "ies" if re.search(r"[^aeiou]y$", first) else first + ends
    return form + space + rest


def gerund(verb: str) -> str:
    """The -ing form of a regular verb; the first word is inflected."""
    first, space, rest = verb.partition(" ")
    form = first[:-1] if re.search(r"[^aeiouy]e$|[aeiou][vrkct]e$", first) else first
    return f"{form}ing{space}{rest}"
