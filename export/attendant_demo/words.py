"""Values of the slots: order numbers, products, names, places, topics and invented words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

_CODAS = ("", "", "", "n", "r", "s", "t", "l", "k", "m", "nd", "rt", "st", "x", "ck", "p", "ng")


@cache
def word_lists() -> Mapping[str, tuple[str, ...]]:
    """The lists of words.txt by name."""
    text = resources.files("attendant_demo").joinpath("phrases", "words.txt").read_text(encoding="utf-8")
    lists: dict[str, list[str]] = {}
    values: list[str] = []
    for line in text.splitlines():
        if line.startswith("@"):
            values = lists.setdefault(line[1:], [])
        elif line and not line.startswith("#"):
            values += line.split("|")
    return {name: tuple(values) for name, values in lists.items()}


def invented(rng: random.Random) -> str:
    """A word that means nothing, such as "brolit": it teaches the model to copy what it does not know."""
    onsets, vowels = word_lists()["onset"], word_lists()["vowel"]
    syllables = rng.choice((1, 2, 2, 3))
    return "".join(rng.choice(onsets) + rng.choice(vowels) + rng.choice(_CODAS) for _ in range(syllables))


def order_number(rng: random.Random) -> str:
    """Four to eight digits, at times behind one or two letters."""
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((4, 5, 5, 5, 6, 6, 7, 8))))
    if rng.random() < 0.08:
        letters = "".join(rng.choice("ABCDEFGHKLMNPRSTWX") for _ in range(rng.choice((1, 2, 2, 3))))
        return letters + rng.choice(("", "-")) + digits
    return digits


def product(rng: random.Random) -> str:
    """A product, at times with an adjective, at times an invented one."""
    good = invented(rng) if rng.random() < 0.25 else rng.choice(word_lists()["product"])
    return f"{rng.choice(word_lists()['adjective'])} {good}" if rng.random() < 0.2 else good


_SOURCES: dict[str, Callable[[random.Random], str]] = {
    "order": order_number,
    "product": product,
    "product2": product,
    "name": lambda rng: rng.choice(word_lists()["name"]),
    "place": lambda rng: invented(rng).capitalize() if rng.random() < 0.2 else rng.choice(word_lists()["place"]),
    "topic": lambda rng: invented(rng) if rng.random() < 0.25 else rng.choice(word_lists()["topic"]),
    "num": lambda rng: str(rng.choice((rng.randrange(13), rng.randrange(100), rng.randrange(1000)))),
    "pseudo": invented,
}


def slot_value(name: str, rng: random.Random) -> str:
    """A value for the slot ``name``.

    Raises:
        KeyError: no such slot.
    """
    return _SOURCES[name](rng)
