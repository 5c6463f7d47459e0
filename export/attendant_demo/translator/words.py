"""The lexicon: nouns, adjectives, verbs and names with their forms in both languages, read from ``phrases/``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from attendant_demo.translator import english, french

MASS = frozenset(("bread", "water"))
"""Classes of what is not counted."""

_ADJECTIVE = re.compile(r"(.+?)(?: \((.+)\))? = (.+?) : (\w+) :(.*)")
_VERB = re.compile(r"(.+?)( !)? = (.+?) :(.*)")


@dataclass(frozen=True)
class Noun:
    """A noun; a number that does not exist is None. ``english``, ``french``: singular and plural."""

    english: tuple[str | None, str | None]
    french: tuple[str | None, str | None]
    feminine: bool

    @property
    def name(self) -> str:
        """One word for it."""
        return str(self.english[0] or self.english[1])

    @property
    def fixed(self) -> bool:
        """Whether it has one number only, in one of the languages at least."""
        return None in self.english or None in self.french

    def number(self, plural: bool) -> tuple[bool, bool]:
        """Whether it stands in the plural, in English and in French."""
        return (self.english[0] is None, self.french[0] is None) if self.fixed else (plural, plural)


@dataclass(frozen=True)
class Adjective:
    """An adjective. ``forms``: masculine and feminine, then both in the plural; ``vowel``: masculine before a vowel."""

    english: str
    comparative: str | None
    forms: tuple[str, str, str, str]
    vowel: str
    where: str
    classes: frozenset[str]

    def form(self, feminine: bool, plural: bool) -> str:
        """The form that agrees."""
        return self.forms[feminine + 2 * plural]


@dataclass(frozen=True)
class Verb:
    """A verb. ``present``: for je, il, nous, vous, ils. ``tail``: what stands after the inflected word ("besoin de").

    Attributes:
        objects: classes of nouns. generic: those of them that are meant as such.
        state: it has no -ing form, and is told of the present only.
        etre: its past is made with être.
    """

    english: str
    past: str
    gerund: str
    infinitive: str
    present: tuple[str, ...]
    participle: str
    tail: str
    etre: bool
    state: bool
    objects: tuple[str, ...]
    generic: frozenset[str]


@dataclass(frozen=True)
class Lexicon:
    """All words. ``names``: pairs of English and French by class; ``verbs``: by whether they take objects."""

    nouns: dict[str, list[Noun]] = field(default_factory=dict)
    adjectives: list[Adjective] = field(default_factory=list)
    verbs: dict[str, list[Verb]] = field(default_factory=dict)
    names: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def lines(name: str) -> list[str]:
    """The lines of ``phrases/NAME.txt`` that say something."""
    text = files(__package__).joinpath("phrases", f"{name}.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


@cache
def lexicon() -> Lexicon:
    """The words, read once."""
    words = Lexicon(adjectives=[adjective for line in lines("adjectives") for adjective in _adjectives(line)])
    for section, line in _sections("nouns"):
        words.nouns.setdefault(section, []).extend(_nouns(line, mass=section in MASS))
    for section, line in _sections("verbs"):
        words.verbs.setdefault(section, []).append(_verb(line))
    for section, line in _sections("names"):
        english_name, _, french_name = line.partition(" = ")
        words.names.setdefault(section, []).append((english_name, french_name or english_name))
    return words


def _sections(name: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in lines(name):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            yield section, line


def _nouns(line: str, *, mass: bool) -> Iterator[Noun]:
    left, right = line.split(" = ")
    word, gender = right.rsplit(" ", 1)
    for synonym in left.split(", "):
        single, many = _numbers(synonym, english.plural)
        yield Noun((single, None if mass and single else many), _numbers(word, _french_plural), gender == "f")


def _numbers(text: str, rule: Callable[[str], str]) -> tuple[str | None, str | None]:
    if text.endswith("+"):
        return None, text[:-1]
    single, _, many = text.partition("/")
    return single, many or rule(single)


def _french_plural(noun: str) -> str:
    """Of "billet de train" and "carte d'identité", the first word's."""
    first, space, rest = noun.partition(" ")
    return (
        french.plural(first) + space + (rest if rest.startswith(("de ", "d'")) else french.plural(rest) if rest else "")
    )


def _adjectives(line: str) -> Iterator[Adjective]:
    match = _ADJECTIVE.fullmatch(line)
    assert match is not None, line
    left, comparative, right, where, classes = match.groups()
    masculine, *others = right.split("/")
    feminine = others[0] if others else french.feminine(masculine)
    masculines = others[1] if len(others) > 1 else french.plural(masculine)
    feminines = feminine if feminine == masculine == masculines else french.plural(feminine)
    for synonym in left.split(", "):
        yield Adjective(
            synonym,
            comparative,
            (masculine, feminine, masculines, feminines),
            others[2] if len(others) > 2 else masculine,
            where,
            frozenset(classes.split()),
        )


def _verb(line: str) -> Verb:
    match = _VERB.fullmatch(line + " " if line.endswith(":") else line)
    assert match is not None, line
    left, state, right, objects = match.groups()
    base, past, *gerund = left.split(", ")
    words, *forms = (part.strip() for part in right.split(";"))
    infinitive, _, tail = words.partition(" ")
    given = tuple(forms[0].split()) if forms and forms[0] else french.present(infinitive)
    assert len(given) == len(french.PERSONS), line
    irregular = len(forms) > 1 and forms[1]
    return Verb(
        english=base,
        past=past,
        gerund=gerund[0] if gerund else english.gerund(base),
        infinitive=infinitive,
        present=given,
        participle=forms[1] if irregular else _participle(infinitive),
        tail=tail,
        etre=len(forms) > 2,
        state=bool(state),
        objects=tuple(name.rstrip("~") for name in objects.split()),
        generic=frozenset(name.rstrip("~") for name in objects.split() if name.endswith("~")),
    )


def _participle(infinitive: str) -> str:
    return french.participle(infinitive) if infinitive[-2:] in ("er", "ir", "re") else ""
