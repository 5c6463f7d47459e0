"""Reads the phrase files of reviews: lists of patterns by name, each divided into training and held-out lines.

``== name`` begins a list; its patterns (see :mod:`attendant_demo.grammar`) take the other lists as slots.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from attendant_demo.grammar import Sequence, parse
from attendant_demo.phrases import Split
from attendant_demo.words import word_lists

FILES = ("words.txt", "facts.txt", "good.txt", "bad.txt", "joins.txt")
LABELS = ("negative", "neutral", "positive")
HELD_OUT_ONE_IN = 10
_MARKS = frozenset({"", "whole", "names"})
_SLOT = re.compile(r"<[a-z_0-9]+>")
_WORD = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True)
class Line:
    """A pattern as it is written, and parsed."""

    text: str
    pattern: Sequence

    def words(self) -> frozenset[str]:
        """All words of the pattern, without its slots."""
        return frozenset(_WORD.findall(_SLOT.sub(" ", self.text.lower())))


@dataclass(frozen=True)
class Phrases:
    """The lines of every list. ``names``: lists of names. ``shared``: lists of which both splits use every line."""

    lists: Mapping[str, Mapping[Split, tuple[Line, ...]]]
    names: frozenset[str]
    shared: frozenset[str]


@cache
def load_phrases() -> Phrases:
    """Read all files. Which lines are held out depends on nothing but the text.

    One line in ten is, those of the lowest hashes; the first one of a list always trains. A line of a plain list is
    held out only if it has words and other lines of its file teach each of them: nobody knows what a word means that
    they never saw. In a list of ``names`` it is the other way round: an entry held out has a word that no training line
    has.
    """
    files, marks = _read()
    everywhere = Counter(word for product in word_lists()["product"] for word in product.split())
    for lists in files.values():
        everywhere += _uses(lists)
    divided: dict[str, dict[Split, tuple[Line, ...]]] = {}
    shared: set[str] = set()
    for lists in files.values():
        uses = _uses(lists)
        for name, lines in lists.items():
            names = marks[name] == "names"
            held_out = set() if marks[name] == "whole" else _held_out(lines, everywhere if names else uses, names=names)
            if not held_out:
                shared.add(name)
            divided[name] = {
                "train": tuple(line for line in lines if line not in held_out),
                "held_out": tuple(line for line in lines if line in held_out) or tuple(lines),
            }
    return Phrases(divided, frozenset(name for name, mark in marks.items() if mark == "names"), frozenset(shared))


def typed_reviews() -> list[tuple[str, str]]:
    """Reviews typed by hand, with their labels. They are never trained on."""
    pairs = (line.partition(": ") for line in _lines("typed.txt"))
    return [(label, text) for label, _, text in pairs]


def _read() -> tuple[dict[str, dict[str, list[Line]]], dict[str, str]]:
    """The lists of every file, and what is marked on each list."""
    files: dict[str, dict[str, list[Line]]] = {file: {} for file in FILES}
    marks: dict[str, str] = {}
    name = ""
    for file, lists in files.items():
        for line in _lines(file):
            if line.startswith("== "):
                name, _, mark = line.removeprefix("== ").partition(" ")
                if name in marks or mark not in _MARKS:
                    raise ValueError(f"{file}: cannot read {line!r}")
                lists[name], marks[name] = [], mark
            else:
                texts = line.split("|") if file == "words.txt" else [line]
                lists[name] += [Line(text, parse(text, {})) for text in texts]
    return files, marks


def _uses(lists: Mapping[str, list[Line]]) -> Counter[str]:
    """In how many lines each word is."""
    return Counter(word for lines in lists.values() for line in lines for word in line.words())


def _held_out(lines: list[Line], uses: Counter[str], *, names: bool) -> set[Line]:
    """The lines to hold out. ``uses``: in how many training lines each word is; it is kept up to date."""
    wanted = len(lines) // HELD_OUT_ONE_IN
    held_out: set[Line] = set()
    for line in sorted(lines[1:], key=lambda line: hashlib.sha256(line.text.encode()).digest()):
        if len(held_out) == wanted:
            break
        elsewhere = [uses[word] > 1 for word in line.words()]
        if (not all(elsewhere)) if names else (elsewhere and all(elsewhere)):
            held_out.add(line)
            uses.subtract(line.words())
    return held_out


def _lines(name: str) -> list[str]:
    folder = resources.files("attendant_demo.sentiment").joinpath("phrases")
    text = folder.joinpath(name).read_text(encoding="utf-8")
    return [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
