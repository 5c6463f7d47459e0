"""How people really type: typing errors, lower case, lost punctuation, short forms. Slot values stay as they are."""

from __future__ import annotations

import itertools
import random
import re

from attendant_demo.words import slot_value, word_lists

_ASKS = re.compile(
    r"^(what|where|when|why|who|how|which|is|are|am|do|does|did|can|could|would|will|may|has|have|any|whats)\b", re.I
)
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"
_NEAR = {key: near for key, near in itertools.pairwise(_KEYS) if " " not in key + near}


def mistyped(word: str, rng: random.Random) -> str:
    """``word`` with a letter left out, doubled, swapped with the next or hit beside; the first one stays."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + _NEAR.get(word[at], word[at]) + word[at + 1 :]


def _words(words: list[str], keep: set[str], rng: random.Random) -> list[str]:
    typos = rng.choices((0.0, 0.05, 0.15), (0.62, 0.28, 0.1))[0]
    drop = 0.35 if rng.random() < 0.1 else 0.0
    short = 0.5 if rng.random() < 0.08 else 0.0
    weak = word_lists()["weak"]
    forms = dict(form.split("=") for form in word_lists()["short"]) if short else {}
    result: list[str] = []
    for word in words:
        bare = word.strip(",.?!")
        if bare in keep:
            result.append(word)
        elif drop and bare.lower() in weak and rng.random() < drop:
            continue
        elif word in forms and rng.random() < short:
            result.append(forms[word])
        elif len(bare) > 3 and bare.isalpha() and rng.random() < typos:
            result.append(mistyped(word, rng))
        else:
            result.append(word)
    return _disturb(result or words, keep, rng)


def _disturb(words: list[str], keep: set[str], rng: random.Random) -> list[str]:
    """At times a word more, or an unknown word in place of one: a question should not hang on a single word."""
    at = rng.randrange(len(words))
    chance = rng.random()
    if chance < 0.1:
        return [*words[:at], rng.choice(word_lists()["filler"]), *words[at:]]
    if chance < 0.16 and len(words) > 3 and words[at].strip(",.?!") not in keep:
        return [*words[:at], slot_value("pseudo", rng), *words[at + 1 :]]
    return words


def _end(text: str, rng: random.Random) -> str:
    if text[-1] in ".?!":
        return text
    if rng.random() < 0.35:
        return text
    if _ASKS.match(text):
        return text + rng.choices(("?", "??", " ?", "?!", "???", "."), (80, 6, 4, 2, 2, 6))[0]
    return text + rng.choices((".", "!", "?", "...", "!!", "!!!"), (68, 18, 6, 4, 2, 2))[0]


def typed(text: str, values: set[str], rng: random.Random) -> str:
    """``text`` as a person might type it; the words of ``values`` keep their letters."""
    keep = {word for value in values for word in value.split()} | {f"#{value}" for value in values}
    words = _words(text.split(), keep, rng)
    text = " ".join(words)
    if rng.random() < 0.2:
        text = text.replace("'", "")
    text = _end(text, rng)
    case = rng.random()
    if case < 0.45:
        return text[0].upper() + text[1:]
    if case < 0.92:
        return " ".join(word if any(c.isdigit() for c in word) else word.lower() for word in text.split(" "))
    if case < 0.95 and not values:
        return text.upper()
    return text
