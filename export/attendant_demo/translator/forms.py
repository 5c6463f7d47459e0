"""Who does it and how it is said: subjects, tenses, negation and questions, and the verb forms that they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from attendant_demo.translator import english as spelling
from attendant_demo.translator import french as orthography
from attendant_demo.translator.numbers import Pair
from attendant_demo.translator.words import Verb

JE, IL, NOUS, VOUS, ILS = range(5)
ETRE = ("suis", "est", "sommes", "êtes", "sont")
ETAIT = ("étais", "était", "étions", "étiez", "étaient")
AVAIT = ("avais", "avait", "avions", "aviez", "avaient")
AVOIR = ("ai", "a", "avons", "avez", "ont")
_ALLER = ("vais", "va", "allons", "allez", "vont")
_AUXILIARIES = {
    "future": _ALLER,
    "can": ("peux", "peut", "pouvons", "pouvez", "peuvent"),
    "must": ("dois", "doit", "devons", "devez", "doivent"),
    "have to": ("dois", "doit", "devons", "devez", "doivent"),
    "want": ("veux", "veut", "voulons", "voulez", "veulent"),
    "would like": ("voudrais", "voudrait", "voudrions", "voudriez", "voudraient"),
}


@dataclass(frozen=True)
class Subject:
    """Who it is about. ``english``: I, he or they, whose verb form it takes; ``person``: index of French forms."""

    text: Pair
    english: str
    person: int
    feminine: bool = False
    plural: bool = False


@dataclass(frozen=True)
class Form:
    """How a clause says it. ``often``: an adverb, of which "never" denies."""

    tense: str
    negated: bool
    asked: bool
    often: Pair | None = None

    @property
    def denied(self) -> bool:
        """Whether French says ne."""
        return self.negated or (self.often is not None and self.often[0] == "never")


def english_be(subject: Subject, form: Form) -> str:
    was = {"I": "was", "he": "was", "they": "were"}[subject.english]
    be = was if form.tense == "past" else {"I": "am", "he": "is", "they": "are"}[subject.english]
    return f"{be} {subject.text[0]}" if form.asked else f"{subject.text[0]} {be}{' not' if form.negated else ''}"


def english(subject: Subject, verb: Verb, form: Form) -> str:
    """Subject and verb."""
    who, be = subject.text[0], {"I": "am", "he": "is", "they": "are"}[subject.english]
    do = "does" if subject.english == "he" else "do"
    plain, no = verb.english, " not" if form.negated else ""
    match form.tense:
        case "progressive":
            first, rest = be, verb.gerund
        case "future":
            first, rest = be, f"going to {plain}"
        case "can":
            first, rest = "can", plain
            no = no and "not"
        case "must":
            first, rest = "must", plain
        case "past" if not (form.negated or form.asked):
            return f"{who} {verb.past}"
        case "past":
            first, rest = "did", plain
        case "would like":
            return f"{who} would like to {plain}"
        case tense:
            words = plain if tense == "simple" else f"{tense}{'' if tense == 'have to' else ' to'} {plain}"
            if not (form.negated or form.asked):
                adverb = f"{form.often[0]} " if form.often else ""
                return f"{who} {adverb}{spelling.third(words) if subject.english == 'he' else words}"
            first, rest = do, words
    return f"{first} {who} {rest}" if form.asked else f"{who} {first}{no} {rest}"


def french(subject: Subject, verb: Verb, form: Form, clitic: str) -> str:
    """Subject, pronoun and verb; a question to "vous" turns them around."""
    forms = _AUXILIARIES.get(form.tense)
    if forms is not None:
        infinitive = f"{clitic} {verb.infinitive}"
        return f"{finite(subject, forms[subject.person], form)} {infinitive} {verb.tail}"
    if form.tense == "past":
        auxiliary = (ETRE if verb.etre else AVOIR)[subject.person]
        word = verb.participle
        if verb.etre:
            word = (orthography.feminine(word) if subject.feminine else word) + ("s" if subject.plural else "")
        return f"{finite(subject, auxiliary, form)} {word} {verb.tail}"
    return f"{finite(subject, verb.present[subject.person], form, clitic)} {verb.tail}"


def finite(subject: Subject, word: str, form: Form, clitic: str = "") -> str:
    """Subject and inflected verb with negation."""
    who = subject.text[1]
    if form.asked and who == "vous":
        return f"{clitic} {word}-vous"
    often = form.often[1] if form.often else ""
    after = f"pas {often}" if form.negated else often
    said = f"{who} {'ne' if form.denied else ''} {clitic} {word} {after}"
    return f"est-ce que {said}" if form.asked else said
