"""Numbers, clock times, dates and prices in both languages, as pairs of English and raw French."""

from __future__ import annotations

import random

Pair = tuple[str, str]

_ENGLISH = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_ENGLISH_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_FRENCH = [
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "six",
    "sept",
    "huit",
    "neuf",
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]
_FRENCH_TENS = ["vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt"]
ORDINALS = (
    ("first", "premier", "première"),
    ("second", "deuxième", "deuxième"),
    ("third", "troisième", "troisième"),
    ("fourth", "quatrième", "quatrième"),
    ("fifth", "cinquième", "cinquième"),
)
DAYS = (
    ("Monday", "lundi"),
    ("Tuesday", "mardi"),
    ("Wednesday", "mercredi"),
    ("Thursday", "jeudi"),
    ("Friday", "vendredi"),
    ("Saturday", "samedi"),
    ("Sunday", "dimanche"),
)
MONTHS = (
    ("January", "janvier"),
    ("February", "février"),
    ("March", "mars"),
    ("April", "avril"),
    ("May", "mai"),
    ("June", "juin"),
    ("July", "juillet"),
    ("August", "août"),
    ("September", "septembre"),
    ("October", "octobre"),
    ("November", "novembre"),
    ("December", "décembre"),
)
_MINUTES = {5: "cinq", 10: "dix", 20: "vingt", 25: "vingt-cinq"}
_PARTS = (("in the morning", "de le matin"), ("in the afternoon", "de l'après-midi"), ("in the evening", "de le soir"))


def english_words(number: int) -> str:
    """0 to 999 in English."""
    if number < 20:
        return _ENGLISH[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _ENGLISH_TENS[tens - 2] + (f"-{_ENGLISH[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{_ENGLISH[hundreds]} hundred" + (f" and {english_words(rest)}" if rest else "")


def french_words(number: int, feminine: bool = False) -> str:
    """0 to 999 in French, in the traditional spelling."""
    if number < 20:
        return "une" if number == 1 and feminine else _FRENCH[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        stem = _FRENCH_TENS[tens - 2]
        if tens in (7, 9):
            ones += 10
        if ones == 0:
            return stem + ("s" if stem == "quatre-vingt" else "")
        one = "une" if ones == 1 and feminine else _FRENCH[ones]
        joint = " et " if ones in (1, 11) and stem != "quatre-vingt" else "-"
        return stem + joint + one
    hundreds, rest = divmod(number, 100)
    many = "cent" if hundreds == 1 else f"{_FRENCH[hundreds]} cent{'' if rest else 's'}"
    return many + (f" {french_words(rest, feminine)}" if rest else "")


def number(rng: random.Random, least: int, most: int, feminine: bool = False) -> Pair:
    """A number in words or, the larger the more often, in digits."""
    value = rng.randint(least, most)
    if rng.random() < (0.25 if value <= 12 else 0.6):
        return str(value), str(value)
    return english_words(value), french_words(value, feminine)


def before_any(rng: random.Random, least: int = 2, most: int = 99) -> Pair:
    """A number that is the same in French before masculine and feminine nouns."""
    while (pair := number(rng, least, most))[1].endswith(("un", "1")):
        pass
    return pair


def hour(rng: random.Random) -> Pair:
    """A clock time."""
    kind = rng.random()
    at = rng.randint(1, 11)
    here, there = english_words(at), f"{french_words(at, feminine=True)} heure{'s' if at > 1 else ''}"
    if kind < 0.06:
        return rng.choice((("noon", "midi"), ("midnight", "minuit")))
    if kind < 0.3:
        return f"{here} o'clock", there
    if kind < 0.4:
        return f"half past {here}", f"{there} et demie"
    if kind < 0.5:
        return rng.choice(
            ((f"a quarter past {here}", f"{there} et quart"), (f"a quarter to {here}", f"{there} moins le_ quart"))
        )
    if kind < 0.6:
        minutes, words = rng.choice(list(_MINUTES.items()))
        past = rng.random() < 0.5
        return (
            f"{english_words(minutes)} {'past' if past else 'to'} {here}",
            f"{there} {'' if past else 'moins '}{words}",
        )
    if kind < 0.7:
        part, partie = rng.choice(_PARTS)
        low, high = {"in the morning": (1, 11), "in the afternoon": (1, 6), "in the evening": (6, 11)}[part]
        at = rng.randint(low, high)
        plural = "s" if at > 1 else ""
        return f"{english_words(at)} o'clock {part}", f"{french_words(at, feminine=True)} heure{plural} {partie}"
    if kind < 0.85:
        at = rng.randint(1, 11)
        late = rng.random() < 0.5
        return f"{at} {'pm' if late else 'am'}", f"{at + 12 if late else at} h"
    at, minutes = rng.randint(6, 23), rng.choice((10, 15, 20, 30, 40, 45, 50, rng.randint(11, 59)))
    return f"{at}:{minutes}", f"{at} h {minutes}"


def date(rng: random.Random) -> Pair:
    """A day of a month: "May 3", "le 3 mai"."""
    (month, mois), day = rng.choice(MONTHS), rng.randint(1, 30)
    return f"{month} {day}", f"le {'1er' if day == 1 else day} {mois}"


def price(rng: random.Random) -> Pair:
    """An amount of euros, with or without cents."""
    kind = rng.random()
    if kind < 0.7:
        here, there = number(rng, 2, 200 if kind < 0.2 else 60)
        return f"{here} euros", f"{there} euros"
    if kind < 0.85:
        cents = rng.choice((10, 20, 50, 60, 80))
        euros = rng.randint(2, 20)
        return (
            f"{english_words(euros)} euros and {english_words(cents)} cents",
            f"{french_words(euros)} euros et {french_words(cents)} centimes",
        )
    euros, cents = rng.randint(2, 99), rng.randint(10, 99)
    return f"{euros}.{cents} euros", f"{euros},{cents} euros"
