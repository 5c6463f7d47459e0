"""Phrase patterns: ``(a|b)`` chooses, ``[a|b]`` chooses or omits, ``@name`` is a lexicon entry, ``<name>`` a slot."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

Item = TypeVar("Item")

_TOKEN = re.compile(r"[()\[\]|]|(?<!\w)@[a-z_0-9]+|<[a-z_0-9]+>|[^()\[\]|@<]+|[@<]")
_SPACES = re.compile(r"\s+")
_LOOSE = re.compile(r"\s+([,.?!;:])")
_DOUBLED = re.compile(r"([,.?!;:])\s*,")


@dataclass(frozen=True)
class Slot:
    """A place for a value, such as an order number."""

    name: str


@dataclass(frozen=True)
class Choice:
    """One of several sequences, or nothing if ``optional``."""

    options: tuple[Sequence, ...]
    optional: bool = False


Node = str | Slot | Choice
Sequence = tuple[Node, ...]


def parse(pattern: str, lexicon: Mapping[str, Sequence]) -> Sequence:
    """Parse a pattern.

    Raises:
        ValueError: unbalanced brackets or a word that the lexicon lacks.
    """
    tokens = _TOKEN.findall(pattern)
    options, end = _options(tokens, 0, "", lexicon, pattern)
    if end != len(tokens) or len(options) != 1:
        raise ValueError(f"unbalanced pattern: {pattern!r}")
    return options[0]


def _options(
    tokens: list[str], at: int, closing: str, lexicon: Mapping[str, Sequence], pattern: str
) -> tuple[tuple[Sequence, ...], int]:
    options: list[Sequence] = []
    nodes: list[Node] = []
    while at < len(tokens) and tokens[at] != closing:
        token = tokens[at]
        at += 1
        if token in "([":
            inner, at = _options(tokens, at, ")" if token == "(" else "]", lexicon, pattern)
            if at >= len(tokens):
                raise ValueError(f"unbalanced pattern: {pattern!r}")
            at += 1
            nodes.append(Choice(inner, optional=token == "["))
        elif token in ")]":
            raise ValueError(f"unbalanced pattern: {pattern!r}")
        elif token == "|":
            options.append(tuple(nodes))
            nodes = []
        elif token[0] == "@" and len(token) > 1:
            if token[1:] not in lexicon:
                raise ValueError(f"the lexicon has no {token!r}, used in {pattern!r}")
            nodes.extend(lexicon[token[1:]])
        elif token[0] == "<" and len(token) > 1:
            nodes.append(Slot(token[1:-1]))
        else:
            nodes.append(token)
    options.append(tuple(nodes))
    return tuple(options), at


def sample(sequence: Sequence, rng: random.Random, value: Callable[[str], str]) -> str:
    """One phrase of the pattern; ``value`` gives the value of a slot."""
    parts: list[str] = []
    _sample(sequence, rng, value, parts)
    return tidy("".join(parts))


def _sample(sequence: Sequence, rng: random.Random, value: Callable[[str], str], parts: list[str]) -> None:
    for node in sequence:
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Slot):
            parts.append(value(node.name))
        elif not node.optional or rng.random() < 0.5:
            _sample(plainest_first(node.options, rng), rng, value, parts)


def plainest_first(options: Items[Item], rng: random.Random) -> Item:
    """One of ``options``, the first ones more often: the phrase files list the plainest words first."""
    return options[int(rng.random() ** 3 * len(options))]


def expand(sequence: Sequence) -> Iterator[str]:
    """Every phrase of a pattern, slots left as ``<name>``."""
    ways: list[list[str]] = []
    for node in sequence:
        if isinstance(node, str):
            ways.append([node])
        elif isinstance(node, Slot):
            ways.append([f"<{node.name}>"])
        else:
            ways.append([text for option in node.options for text in expand(option)] + [""] * node.optional)
    for parts in product(*ways):
        yield tidy("".join(parts))


def slots(sequence: Sequence) -> set[str]:
    """The names of all slots of a pattern."""
    found: set[str] = set()
    for node in sequence:
        if isinstance(node, Slot):
            found.add(node.name)
        elif isinstance(node, Choice):
            for option in node.options:
                found |= slots(option)
    return found


def tidy(text: str) -> str:
    """Single spaces, none before punctuation, no doubled punctuation."""
    return _DOUBLED.sub(r"\1", _LOOSE.sub(r"\1", _SPACES.sub(" ", text))).strip()
