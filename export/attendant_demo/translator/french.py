"""French spelling: what happens where words meet, and the forms of nouns, adjectives and verbs that follow rules."""

from __future__ import annotations

PERSONS = ("je", "il", "nous", "vous", "ils")
_ELIDED = frozenset(["je", "ne", "me", "te", "se", "le", "la", "de", "que", "jusque"])
_VOWELS = frozenset("aeiouyàâæèéêëîïôöœùûüh")
_WHOLE = frozenset(["onze", "onzième", "huit", "huitième", "oui", "yaourt", "yaourts", "y-grec"])
_CONTRACTED = {("de", "le"): "du", ("de", "les"): "des", ("à", "le"): "au", ("à", "les"): "aux"}
_BEFORE_VOWELS = {"ma": "mon", "sa": "son", "ta": "ton", "ce_d": "cet"}


def spell(raw: str) -> str:
    """The sentence of raw words: with elision (l'eau), contraction (du, aux) and forms before vowels (cet, mon amie).

    A word with a final ``_`` is a pronoun that does not contract (de le_ voir), ``ce_d`` is the determiner, and a word
    that begins with ``*`` has an aspirated h or the like. The first letter becomes a capital.
    """
    words: list[str] = []
    for word in reversed(raw.split()):
        words.append(_joined(word, words.pop()) if words else word)
        if " " in words[-1]:
            first, second = words.pop().split(" ", 1)
            words += [second, first]
    text = " ".join(reversed(words)).replace("ce_d", "ce").replace("_", "").replace("*", "")
    text = text.replace("' ", "'")
    at = next((index for index, letter in enumerate(text) if letter.isalnum()), 0)
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


def _joined(word: str, after: str) -> str:
    """Two words that meet: one word if they melt, else both with a space."""
    bare = word.removesuffix("_").lower()
    vowel = begins_with_vowel(after)
    if bare == "si" and after in ("il", "ils"):
        return f"{word[:-1]}'{after}"
    if vowel and bare in _ELIDED:
        return f"{word.removesuffix('_')[:-1]}'{after}"
    if vowel and word in _BEFORE_VOWELS:
        return f"{_BEFORE_VOWELS[word]} {after}"
    if word == "ce" and after.startswith(("est", "était")):
        return f"c'{after}"
    contracted = _CONTRACTED.get((word, after.split(" ")[0]))
    return f"{word} {after}" if contracted is None else contracted


def begins_with_vowel(word: str) -> bool:
    """Whether words before ``word`` lose their e, or take the form for vowels."""
    stem = word.lower().rstrip(",.?!")
    return stem[:1] in _VOWELS and stem not in _WHOLE


def plural(word: str) -> str:
    """The plural of a noun or of a masculine adjective."""
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith(("eau", "eu")) and word not in ("pneu", "bleu"):
        return word + "x"
    return word[:-2] + "aux" if word.endswith("al") and word not in ("festival",) else word + "s"


def feminine(word: str) -> str:
    """The feminine of an adjective or a participle."""
    for ending, changed in (("eux", "euse"), ("er", "ère"), ("if", "ive"), ("el", "elle"), ("en", "enne")):
        if word.endswith(ending):
            return word.removesuffix(ending) + changed
    return word if word.endswith("e") else word + "e"


def present(infinitive: str) -> tuple[str, ...]:
    """The forms for je, il, nous, vous and ils of a regular verb."""
    stem, ending = infinitive[:-2], infinitive[-2:]
    if ending == "er":
        nous = f"{stem}eons" if stem.endswith("g") else f"{stem[:-1]}çons" if stem.endswith("c") else f"{stem}ons"
        return (f"{stem}e", f"{stem}e", nous, f"{stem}ez", f"{stem}ent")
    if ending == "ir":
        return (f"{stem}is", f"{stem}it", f"{stem}issons", f"{stem}issez", f"{stem}issent")
    return (f"{stem}s", stem, f"{stem}ons", f"{stem}ez", f"{stem}ent")


def participle(infinitive: str) -> str:
    """The past participle of a regular verb."""
    return infinitive[:-2] + {"er": "é", "ir": "i", "re": "u"}[infinitive[-2:]]
