"""Clauses: who does what, in several tenses, said, denied or asked, in both languages."""

from __future__ import annotations

import random

from attendant_demo.translator import forms
from attendant_demo.translator.forms import (
    AVAIT,
    AVOIR,
    ETAIT,
    ETRE,
    IL,
    ILS,
    JE,
    NOUS,
    VOUS,
    Form,
    Subject,
    english_be,
    finite,
)
from attendant_demo.translator.nouns import Pair, Thing, Things
from attendant_demo.translator.pairs import WordPairs
from attendant_demo.translator.times import Times
from attendant_demo.translator.words import Adjective, Lexicon, Verb

_OBJECT_PRONOUNS = (("me", "me"), ("you", "vous"), ("him", "le_"), ("her", "la_"), ("us", "nous"), ("them", "les_"))
_FEELINGS = (
    ("hungry", "faim"),
    ("thirsty", "soif"),
    ("cold", "froid"),
    ("hot", "chaud"),
    ("sleepy", "sommeil"),
    ("right", "raison"),
    ("wrong", "tort"),
    ("afraid", "peur"),
)
_OFTEN = (("always", "toujours"), ("often", "souvent"), ("sometimes", "parfois"), ("never", "jamais"))
_DEGREES = (("very", "très"), ("too", "trop"), ("so", "si"))
_COMPARED = (("plus", "more"), ("moins", "less"), ("aussi", "as"))
_QUESTIONS = (("why", "pourquoi"), ("when", "quand"), ("where", "où"), ("how", "comment"))
_THINGS = (
    "thing",
    "clothes",
    "furniture",
    "room",
    "place",
    "vehicle",
    "animal",
    "show",
    "topic",
    "food",
    "meal",
    "bread",
)


_PRONOUNS = (
    Subject(("I", "je"), "I", JE),
    Subject(("you", "vous"), "they", VOUS),
    Subject(("he", "il"), "he", IL),
    Subject(("she", "elle"), "he", IL, feminine=True),
    Subject(("we", "nous"), "they", NOUS, plural=True),
    Subject(("they", "ils"), "they", ILS, plural=True),
)


class Clauses:
    """Composes clauses, without capital and without full stop."""

    def __init__(self, words: Lexicon, rng: random.Random, things: Things, pairs: WordPairs) -> None:
        self._words, self._rng, self._things, self._pairs = words, rng, things, pairs
        self._times = Times(rng)

    def statement(self) -> Pair:
        """What is so, or is not."""
        kind = self._rng.random()
        if kind < 0.62:
            return self._action(asked=False)
        if kind < 0.9:
            return self._state(asked=False)
        return self._comparison()

    def future(self) -> Pair:
        """What is going to happen."""
        return self._act(self._subject(), Form("future", self._rng.random() < 0.15, asked=False))

    def condition(self) -> Pair:
        """What may be so."""
        return self._state(asked=False, past=False)

    def question(self) -> Pair:
        """A question without question mark, with or without question word."""
        if self._rng.random() < 0.3:
            return self._state(asked=True)
        if self._rng.random() < 0.7:
            return self._action(asked=True)
        here, there = self._rng.choice(_QUESTIONS)
        asked = self._act(self._subject(), Form(self._tense(), negated=False, asked=True), timed=False)
        return f"{here} {asked[0]}", f"{there} {asked[1]}"

    def _subject(self, human: bool = True) -> Subject:
        rng = self._rng
        if human and rng.random() < 0.6:
            return rng.choice(_PRONOUNS)
        if human and rng.random() < 0.2:
            feminine = rng.random() < 0.5
            return Subject(rng.choice(self._words.names["she" if feminine else "he"]), "he", IL, feminine)
        thing = self._things.draw(("human",) if human else _THINGS)
        return self._about(thing)

    def _about(self, thing: Thing) -> Subject:
        plural = self._rng.random() < 0.25
        determiner = "poss" if thing.kind == "person" else "np"
        here, there = thing.noun.number(plural)
        text = thing.pair(determiner, plural=plural)
        return Subject(text, "they" if here else "he", ILS if there else IL, thing.noun.feminine, there)

    def _tense(self, verb: Verb | None = None) -> str:
        if verb is not None and verb.state:
            return self._rng.choices(("simple", "can"), (9, 1 if verb.english in ("see", "understand") else 0))[0]
        tenses = ("simple", "progressive", "past", "future", "can", "must", "have to", "want", "would like")
        return self._rng.choices(tenses, (5, 3, 5, 3, 2, 1, 1, 2, 1))[0]

    def _action(self, *, asked: bool) -> Pair:
        rng = self._rng
        negated = not asked and rng.random() < 0.28
        return self._act(self._subject(), Form("", negated, asked))

    def _act(self, subject: Subject, form: Form, *, timed: bool = True) -> Pair:
        rng = self._rng
        verb = rng.choice(self._words.verbs["with objects" if rng.random() < 0.75 else "without objects"])
        tense = form.tense if form.tense and not verb.state else self._tense(verb)
        if form.asked and tense in ("must", "would like"):
            tense = "can"
        negated = form.negated and tense not in ("have to", "would like")
        often = None
        if tense == "simple" and not negated and not form.asked and not verb.state and rng.random() < 0.25:
            often = rng.choice(_OFTEN)
        form = Form(tense, negated, form.asked, often)
        clitic, rest = self._complement(verb, subject, form)
        if timed and rng.random() < 0.3 and not verb.state and often is None:
            time = self._times.fitting(tense)
            rest = f"{rest[0]} {time[0]}", f"{rest[1]} {time[1]}"
        here = f"{forms.english(subject, verb, form)} {clitic[0]} {rest[0]}"
        return here, f"{forms.french(subject, verb, form, clitic[1])} {rest[1]}"

    def _complement(self, verb: Verb, subject: Subject, form: Form) -> tuple[Pair, Pair]:
        """A pronoun, which French has before the verb, and all that follows the verb."""
        rng = self._rng
        if verb not in self._words.verbs["with objects"]:
            return ("", ""), self._where(verb)
        persons = "person" in verb.objects and "thing" not in verb.objects and verb.english != "have"
        if persons and form.tense != "past" and rng.random() < 0.3:
            pronouns = [pronoun for pronoun in _OBJECT_PRONOUNS if not _same(subject, pronoun[1])]
            return rng.choice(pronouns), ("", "")
        kind = rng.choice(verb.objects)
        if kind in ("language", "sport"):
            return ("", ""), self._named(kind, article=kind == "sport" or kind in verb.generic)
        thing = self._things.draw((kind,))
        while not self._pairs.allow(verb.english, thing.noun.name):
            thing = self._things.draw((kind,))
        self._pairs.use(verb.english, thing.noun.name)
        if kind in verb.generic:
            return ("", ""), (thing.pair("bare", plural=True)[0], thing.pair("the", plural=True)[1])
        plural = not thing.noun.fixed and rng.random() < 0.3
        determiner = self._things.determiner(thing, plural)
        if verb.tail and determiner in ("some", "num"):
            determiner = "the"
        if form.denied and determiner == "num":
            determiner = "some"
        object_ = thing.pair(determiner, plural=plural, negated=form.denied and not verb.tail)
        if form.asked and determiner == "some":
            object_ = object_[0].replace("some", "any", 1), object_[1]
        return ("", ""), object_

    def _named(self, kind: str, *, article: bool) -> Pair:
        here, there = self._rng.choice(self._words.names[kind])
        if kind == "language":
            return here, f"le {there}" if article else there
        word, gender = there.rsplit(" ", 1)
        the = "les" if word.endswith("+") else "la" if gender == "f" else "le"
        return here, f"{the} {word.rstrip('+')}"

    def _where(self, verb: Verb) -> Pair:
        if not verb.objects or (self._rng.random() < 0.3 and verb.english not in ("live", "go", "stay")):
            return "", ""
        kind = self._rng.choice(verb.objects)
        if kind == "to":
            kind = self._rng.choice(("to city", "to place"))
        if kind == "way":
            return "in the street", "dans la rue"
        if kind == "room":
            here, there = self._things.draw(("room",), adjective=False).pair("np")
            return f"in {here}", f"dans {there}"
        if kind.endswith("city"):
            here, there = self._rng.choice(self._words.names["city"])
            return f"{'to' if kind.startswith('to') else 'in'} {here}", f"à {there}"
        here, there = self._things.draw(("place",), adjective=False).pair("the")
        return f"{'to' if kind.startswith('to') else 'at'} {here}", f"à {there}"

    def _state(self, *, asked: bool, past: bool | None = None) -> Pair:
        """Something is so and so, or somebody is hungry."""
        rng = self._rng
        past = rng.random() < 0.2 if past is None else past
        form = Form("past" if past else "simple", rng.random() < 0.25 and not asked, asked)
        degree = rng.choice(_DEGREES[: 2 if form.negated or asked else 3]) if rng.random() < 0.3 else ("", "")
        subject = self._subject(rng.random() < 0.5)
        human = subject in _PRONOUNS or subject.text in self._words.names["he"] + self._words.names["she"]
        if (human or rng.random() < 0.1) and rng.random() < 0.3:
            if not human:
                subject = self._about(self._things.draw(("person",), adjective=False))
            feeling = rng.choice(_FEELINGS)
            degree = degree if feeling[1] not in ("raison", "tort") and degree[0] != "so" else ("", "")
            avoir = AVAIT if past else AVOIR
            here = f"{english_be(subject, form)} {degree[0]} {feeling[0]}"
            return here, f"{finite(subject, avoir[subject.person], form)} {degree[1]} {feeling[1]}"
        if human:
            adjective = self._things.predicate("person")
        else:
            thing, adjective = self._described()
            subject = self._about(thing)
        assert adjective is not None
        if adjective.comparative is None and adjective.english not in ("tired", "ill", "worried", "angry", "full"):
            degree = ("", "")
        if adjective.forms[0] in ("en colère", "en retard", "bon marché"):
            degree = ("", "")
        here = f"{english_be(subject, form)} {degree[0]} {adjective.english}"
        etre = (ETAIT if past else ETRE)[subject.person]
        there = f"{finite(subject, etre, form)} {degree[1]} {adjective.form(subject.feminine, subject.plural)}"
        return here, there

    def _described(self, *, compared: bool = False) -> tuple[Thing, Adjective]:
        """Something without adjective, and what can be said of it."""
        while True:
            thing = self._things.draw((*_THINGS, "human", "human"), adjective=False)
            adjective = self._things.predicate(thing.kind)
            if adjective is None or (compared and adjective.comparative is None):
                continue
            if self._pairs.allow(adjective.english, thing.noun.name):
                self._pairs.use(adjective.english, thing.noun.name)
                return thing, adjective

    def _comparison(self) -> Pair:
        """One thing is bigger than, less big than, or as big as, another of its class."""
        rng = self._rng
        thing, adjective = self._described(compared=True)
        subject = self._about(thing)
        other = self._about(self._things.draw((thing.kind,), adjective=False))
        form = Form("simple", rng.random() < 0.2, asked=False)
        how, english_how = rng.choice(_COMPARED)
        word = adjective.form(subject.feminine, subject.plural)
        if how == "plus":
            here, there = f"{adjective.comparative} than", f"plus {word} que"
            if adjective.english == "good":
                there = f"meilleur{'e' if subject.feminine else ''}{'s' if subject.plural else ''} que"
        elif how == "moins":
            here, there = f"{english_how} {adjective.english} than", f"moins {word} que"
        else:
            here, there = f"as {adjective.english} as", f"aussi {word} que"
        etre = ETRE[subject.person]
        here = f"{english_be(subject, form)} {here} {other.text[0]}"
        return here, f"{finite(subject, etre, form)} {there} {other.text[1]}"


def _same(subject: Subject, pronoun: str) -> bool:
    """Whether an object pronoun would mean the subject."""
    return (pronoun, subject.person) in (("me", JE), ("me", NOUS), ("nous", NOUS), ("nous", JE), ("vous", VOUS))
