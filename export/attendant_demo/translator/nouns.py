"""Noun phrases: a noun, perhaps an adjective, and a determiner, in both languages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from attendant_demo.translator import french
from attendant_demo.translator.numbers import number
from attendant_demo.translator.pairs import WordPairs
from attendant_demo.translator.words import MASS, Adjective, Lexicon, Noun

Pair = tuple[str, str]
_POSSESSIVES = (
    ("my", ("mon", "ma", "mes")),
    ("your", ("votre", "votre", "vos")),
    ("his", ("son", "sa", "ses")),
    ("her", ("son", "sa", "ses")),
    ("our", ("notre", "notre", "nos")),
    ("their", ("leur", "leur", "leurs")),
)
_POINTING = (("this", "these"), ("that", "those"))
_ADJECTIVE_SHARE = 0.3
WIDE = {
    "sold": ("thing", "clothes", "clothes", "ticket", "vehicle", "furniture", "food"),
    "human": ("person", "person", "profession"),
    "eaten": ("food", "food", "bread"),
}
"""Names for several classes."""


@dataclass(frozen=True)
class Thing:
    """What a phrase is about, before its determiner; rendered with any of them.

    Attributes:
        owner: index into possessives. pointing: 0 this, 1 that. count: a number, in English and French.
    """

    noun: Noun
    kind: str
    adjective: Adjective | None
    owner: int
    pointing: int
    count: Pair
    determiner: str

    def pair(self, determiner: str, *, plural: bool = False, negated: bool = False) -> Pair:
        """The phrase in English and in raw French.

        Args:
            determiner: the, a, some, num, poss, this, bare, or np for any that leaves the noun definite.
            negated: after a French negation, where un, une and des become de.
        """
        here_plural, there_plural = self.noun.number(plural)
        determiner = self.determiner if determiner == "np" else determiner
        adjective = self.adjective
        here = f"{adjective.english} " if adjective else ""
        here += str(self.noun.english[here_plural])
        there = str(self.noun.french[there_plural])
        first = there
        if adjective:
            form = adjective.form(self.noun.feminine, there_plural)
            if (
                adjective.where == "before"
                and not (self.noun.feminine or there_plural)
                and french.begins_with_vowel(there)
            ):
                form = adjective.vowel
            there = f"{form} {there}" if adjective.where == "before" else f"{there} {form}"
            first = form if adjective.where == "before" else first
        index = 2 if there_plural else int(self.noun.feminine)
        match determiner:
            case "the":
                return f"the {here}", f"{('le', 'la', 'les')[index]} {there}"
            case "a":
                return f"a {here}", f"{('un', 'une')[self.noun.feminine] if not negated else 'de'} {there}"
            case "some" if negated:
                return f"any {here}", f"de {there}"
            case "some":
                before = adjective is not None and adjective.where == "before"
                partitive = ("de le", "de la", "de" if before else "des")[index]
                return f"some {here}", f"{partitive} {there}"
            case "num":
                return f"{self.count[0]} {here}", f"{self.count[1]} {there}"
            case "poss":
                owner, forms = _POSSESSIVES[self.owner]
                return f"{owner} {here}", f"{forms[index]} {there}"
            case "this":
                return f"{_POINTING[self.pointing][here_plural]} {here}", f"{('ce_d', 'cette', 'ces')[index]} {there}"
        return here, there


class Things:
    """Draws what phrases are about."""

    def __init__(self, words: Lexicon, rng: random.Random, pairs: WordPairs) -> None:
        self._words, self._rng, self._pairs = words, rng, pairs

    def draw(self, kinds: Sequence[str], *, adjective: bool | None = None, counted: bool = False) -> Thing:
        """Something of one of the classes ``kinds``.

        Args:
            adjective: with one, without, or by chance.
            counted: only nouns with both numbers in both languages.
        """
        rng = self._rng
        kind = rng.choice(kinds)
        kind = rng.choice(WIDE.get(kind, (kind,)))
        nouns = self._words.nouns[kind]
        while (noun := rng.choice(nouns)).fixed and counted:
            pass
        described = rng.random() < _ADJECTIVE_SHARE if adjective is None else adjective
        count = number(rng, 2, 12 if rng.random() < 0.9 else 99, noun.feminine)
        return Thing(
            noun,
            kind,
            self._adjective(noun, kind) if described else None,
            rng.randrange(len(_POSSESSIVES)),
            int(rng.random() < 0.3),
            count,
            rng.choices(("the", "poss", "this"), (5, 3, 2))[0],
        )

    def determiner(self, thing: Thing, plural: bool) -> str:
        """Any that fits as an object."""
        rng = self._rng
        if thing.kind in MASS:
            return rng.choices(("some", "the", "poss", "this"), (6, 2, 1, 1))[0]
        if thing.noun.fixed or thing.kind == "meal":
            return rng.choices(("the", "poss", "this"), (3, 4, 1))[0]
        if thing.kind == "person":
            return "poss"
        if plural:
            return rng.choices(("some", "num", "the", "poss", "this"), (3, 3, 2, 2, 1))[0]
        return rng.choices(("a", "the", "poss", "this"), (4, 3, 3, 1))[0]

    def predicate(self, kind: str) -> Adjective | None:
        """An adjective that can be said of things of a class."""
        fitting = [adjective for adjective in self._words.adjectives if kind in adjective.classes]
        return self._rng.choice(fitting) if fitting else None

    def _adjective(self, noun: Noun, kind: str) -> Adjective | None:
        fitting = [a for a in self._words.adjectives if kind in a.classes and a.where != "never"]
        fitting = [a for a in fitting if self._pairs.allow(a.english, noun.name)]
        if not fitting:
            return None
        adjective = self._rng.choice(fitting)
        self._pairs.use(adjective.english, noun.name)
        return adjective
