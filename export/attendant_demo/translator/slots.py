"""Templates with slots, such as "where is {the place}?", and what fills them in both languages.

A slot is ``{determiner class}``, ``{class:form}`` or the name of a filling of its own, with + for the plural and #2 for
a second one: slots of one class in one template mean the same thing. ``a!`` is "a" with an adjective, np any determiner
that leaves a thing definite; forms: bare, plural, no (after a negation), nearest, closed, opened.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from attendant_demo.translator import numbers, times
from attendant_demo.translator.clauses import Clauses
from attendant_demo.translator.nouns import WIDE, Pair, Thing, Things
from attendant_demo.translator.times import Times
from attendant_demo.translator.words import Lexicon, lines

TOPICS = ("talk", "travel", "shop")
_SLOT = re.compile(r"\{(?:(the|a!|a|some|num|poss|this|np|in) )?([\w]+)(\+?)(?:#(\d))?(?::(\w+))?\}")
_NEAR = (
    ("near", "près de"),
    ("next to", "à côté de"),
    ("opposite", "en face de"),
    ("behind", "derrière"),
    ("in front of", "devant"),
)
_ON = (("on", "sur"), ("under", "sous"), ("behind", "derrière"), ("next to", "à côté de"))
_MEASURES = (
    ("a glass", "glasses", "un verre", "verres", "water"),
    ("a bottle", "bottles", "une bouteille", "bouteilles", "water"),
    ("a cup", "cups", "une tasse", "tasses", "hot"),
    ("a piece", "pieces", "un morceau", "morceaux", "piece"),
    ("a kilo", "kilos", "un kilo", "kilos", "food"),
    ("a slice", "slices", "une tranche", "tranches", "slice"),
)
_MEASURED = {
    "hot": (("tea", "thé"), ("coffee", "café"), ("hot chocolate", "chocolat chaud")),
    "slice": (("bread", "pain"), ("ham", "jambon"), ("cake", "gâteau"), ("pizza", "pizza"), ("cheese", "fromage")),
    "piece": (("bread", "pain"), ("cake", "gâteau"), ("chocolate", "chocolat"), ("cheese", "fromage")),
}
_COLOURS = (
    ("red", "rouge"),
    ("blue", "bleu"),
    ("green", "vert"),
    ("black", "noir"),
    ("white", "blanc"),
    ("yellow", "jaune"),
    ("grey", "gris"),
    ("pink", "rose"),
)
_SYLLABLES = [
    "ba",
    "be",
    "da",
    "di",
    "do",
    "el",
    "fa",
    "ga",
    "ha",
    "jo",
    "ka",
    "ki",
    "la",
    "lo",
    "ma",
    "mi",
    "na",
    "no",
    "or",
    "pa",
    "ra",
    "ri",
    "ro",
    "sa",
    "ta",
    "ti",
    "va",
    "vi",
    "wa",
    "za",
    "zo",
]
_ENDS = ["n", "s", "r", "l", "m", "t", "ck", "nd", "th", "sh", "son", "ner", "man", "ton"]


class Templates:
    """Fills templates. One object composes many sentences."""

    def __init__(self, words: Lexicon, rng: random.Random, things: Things, clauses: Clauses) -> None:
        self._words, self._rng, self._things, self._clauses = words, rng, things, clauses
        self._times = Times(rng)
        self._templates = [line.split(" = ", 1) for topic in TOPICS for line in lines(topic)]
        self._weights = [0.25 + here.count("{") for here, _ in self._templates]
        self._own: dict[str, Callable[[], Pair]] = {
            "clause": clauses.statement,
            "future": clauses.future,
            "condition": clauses.condition,
            "measured": self._measured,
            "near": lambda: self._beside(_NEAR, "place"),
            "on": lambda: self._beside(_ON, "surface"),
            "time_future": self._times.ahead,
            "today": lambda: rng.choice((("today", "aujourd'hui"), ("this morning", "ce_d matin"))),
            "at": self._at,
            "hour": lambda: numbers.hour(rng),
            "date": lambda: numbers.date(rng),
            "price": lambda: numbers.price(rng),
            "num": lambda: numbers.before_any(rng, 2, 12),
            "number": lambda: numbers.before_any(rng, 2, 99),
            "age": lambda: numbers.number(rng, 2, 99),
            "year": lambda: (str(year := rng.randint(1930, 2030)), str(year)),
            "digits": lambda: (digits := str(rng.randint(10, 10 ** rng.randint(2, 7))), digits),
            "name": self._name,
            "word": lambda: (word := rng.choice(words.nouns[rng.choice(("food", "thing", "place"))]).name, word),
            "colour": lambda: rng.choice(_COLOURS),
            "season": lambda: rng.choice(times.SEASONS),
            "by": lambda: rng.choice(times.BY),
            "day": lambda: rng.choice(numbers.DAYS),
            "days": lambda: (f"{(day := rng.choice(numbers.DAYS))[0]}s", f"le_ {day[1]}"),
        }

    def sentence(self) -> tuple[Pair, bool]:
        """One sentence, raw, and whether it has slots."""
        here, there = self._rng.choices(self._templates, self._weights)[0]
        here = re.sub(r"\(([^()]*)\)", lambda match: self._rng.choice(match[1].split("|")), here)
        drawn: dict[str, object] = {}
        return (self._fill(here, drawn, 0), self._fill(there, drawn, 1)), "{" in there

    def _fill(self, text: str, drawn: dict[str, object], side: int) -> str:
        return _SLOT.sub(lambda match: self._slot(match, drawn)[side], text)

    def _slot(self, match: re.Match[str], drawn: dict[str, object]) -> Pair:
        determiner, kind, plus, which, form = match.groups()
        key = f"{kind} {which or ''}"
        if kind in self._words.nouns or kind in WIDE:
            thing = drawn.get(key)
            if not isinstance(thing, Thing):
                thing = self._things.draw(
                    (kind,),
                    adjective=_described(determiner, form, kind),
                    counted=determiner != "poss" and kind not in ("bread", "water", "body"),
                )
                drawn[key] = thing
            if determiner == "in":
                here, there = thing.pair("np")
                return f"in {here}", f"dans {there}"
            return _rendered(thing, determiner, bool(plus), form)
        if key not in drawn:
            drawn[key] = self._draw(kind)
        found = drawn[key]
        assert isinstance(found, tuple)
        if determiner == "in":
            return f"in {found[0]}", f"à {found[1]}"
        return _named(kind, found, form)

    def _draw(self, kind: str) -> tuple[str, ...]:
        if kind == "ordinal":
            return self._rng.choice(numbers.ORDINALS)
        return self._own[kind]() if kind in self._own else self._rng.choice(self._words.names[kind])

    def _beside(self, prepositions: tuple[Pair, ...], kind: str) -> Pair:
        here, there = self._rng.choice(prepositions)
        place = self._things.draw((kind,), adjective=None if kind == "place" else False).pair("the")
        return f"{here} {place[0]}", f"{there} {place[1]}"

    def _measured(self) -> Pair:
        rng = self._rng
        one, many, un, plusieurs, kind = rng.choice(_MEASURES)
        if kind in _MEASURED:
            of = rng.choice(_MEASURED[kind])
        else:
            thing = self._things.draw((kind,), adjective=False, counted=kind == "food")
            of = thing.pair("bare", plural=True)
        if rng.random() < 0.6:
            return f"{one} of {of[0]}", f"{un} de {of[1]}"
        count = numbers.before_any(rng, 2, 12)
        return f"{count[0]} {many} of {of[0]}", f"{count[1]} {plusieurs} de {of[1]}"

    def _at(self) -> Pair:
        here, there = numbers.hour(self._rng)
        return f"at {here}", f"à {there}"

    def _name(self) -> Pair:
        rng = self._rng
        name = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))
        name = (name + (rng.choice(_ENDS) if rng.random() < 0.6 else "")).capitalize()
        return name, name


def _described(determiner: str | None, form: str | None, kind: str) -> bool | None:
    if determiner == "a!":
        return True
    return False if form or kind in ("body", "way", "furniture") else None


def _rendered(thing: Thing, determiner: str | None, plural: bool, form: str | None) -> Pair:
    index = int(thing.noun.feminine)
    if form in ("nearest", "closed", "opened"):
        words = {"nearest": ("le_", "la_"), "closed": ("fermé", "fermée"), "opened": ("ouvert", "ouverte")}[form]
        return "", f"{words[index]} plus proche" if form == "nearest" else words[index]
    plural = plural or form == "plural"
    return thing.pair((determiner or "bare").rstrip("!"), plural=plural, negated=form == "no")


def _named(kind: str, found: tuple[str, ...], form: str | None) -> Pair:
    """The form of a name that a template wants."""
    here, there = found[0], found[1]
    if kind == "ordinal":
        return here, found[2] if form == "f" else there
    if kind == "country":
        return here, _country(there, form)
    if kind in ("job", "nationality"):
        masculine, _, feminine = there.partition("/")
        feminine = feminine or (masculine if masculine.endswith("e") else masculine + "e")
        plural = masculine if masculine.endswith("s") else masculine + "s"
        return here, {"she": feminine, "they": plural}.get(form or "", masculine)
    return here, there


def _country(there: str, form: str | None) -> str:
    name, gender = there.rsplit(" ", 1)
    if name.endswith("+"):
        return f"{'à' if form == 'in' else 'de'} les {name[:-1]}"
    if gender == "f":
        return f"{'en' if form == 'in' else 'de'} {name}"
    return f"{'à' if form == 'in' else 'de'} le {name}"
