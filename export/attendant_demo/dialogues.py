"""Composes dialogues of customers and the assistant. The same seed gives the same dialogues."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from attendant_demo.grammar import plainest_first, sample, tidy
from attendant_demo.noise import typed
from attendant_demo.phrases import FOLLOW, Answer, Intent, Phrases, Split, load_phrases
from attendant_demo.words import slot_value

Style = Literal["chat", "customer_agent", "lines", "prose"]
_STYLES: tuple[Style, ...] = ("chat", "customer_agent", "lines", "prose")
_NUMBER_PLACES = (
    "{text}, {number}",
    "{text} {number}",
    "{text}. {number}",
    "{text}? {number}",
    "{text} ({number})",
    "{number}, {text}",
    "{number}: {text}",
    "{number}. {text}",
)
_BARE = 0.4  # share of questions without greeting, name, story or ending
_LATER = frozenset({"yes", "no", "acknowledge"})
_SMALL_TALK = _LATER | {"greeting", "goodbye", "thanks"}
_DRILLS = ("order_number", "greeting")
_LAST = frozenset({"goodbye", "no"})
_WEIGHTS = {
    "off_topic": 3.0,
    "greeting": 1.2,
    "order_status": 1.8,
    "order_late": 1.3,
    "return_item": 1.5,
    "refund": 1.3,
}
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are the assistant of the Attendant shop.",
    "You are a friendly customer service agent. Answer politely and to the point.",
    "Be brief.",
    "Answer the customer's question.",
    "You are a support agent of an online shop.",
)
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[a-z0]+")


@dataclass(frozen=True)
class Turn:
    """A question and its answer. ``label``: intent or ``intent/follow-up``. ``values``: the slots of the answer."""

    question: str
    answer: str
    label: str
    values: dict[str, str]

    def normal_question(self) -> str:
        """The question as :func:`normal` makes it."""
        return normal(self.question, self.values)


def normal(question: str, values: Mapping[str, str]) -> str:
    """A question without case, punctuation and slot values, to compare splits."""
    text = question.lower()
    for value in values.values():
        text = text.replace(value.lower(), "")
    return " ".join(_WORD.findall(_DIGIT.sub("0", text)))


@dataclass(frozen=True)
class Dialogue:
    """Turns in order, and how they are written down."""

    turns: tuple[Turn, ...]
    style: Style = "chat"
    system: str | None = None

    def messages(self) -> list[dict[str, str]]:
        """The dialogue as chat messages."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
        return messages


@dataclass
class _State:
    """What is known in a dialogue so far."""

    order: str | None = None
    product: str | None = None
    intent: Intent | None = None
    answer: str = ""
    labels: list[str] = field(default_factory=list)


class Composer:
    """Composes dialogues of one split from the phrases."""

    def __init__(self, split: Split, seed: int, phrases: Phrases | None = None) -> None:
        self._split: Split = split
        self._rng = random.Random(f"{split}:{seed}")
        self._phrases = phrases or load_phrases()
        self._intents = self._phrases.intents
        self._openers = [
            intent
            for intent in self._intents.values()
            if intent.questions[split] and intent.name not in _LATER and not intent.name.startswith(FOLLOW)
        ]
        self._weights = [_WEIGHTS.get(intent.name, 1.0) for intent in self._openers]

    def dialogues(self, count: int) -> Iterator[Dialogue]:
        """``count`` dialogues of one to four turns, most of one, in every style."""
        for _ in range(count):
            style = self._rng.choices(_STYLES, (88, 4, 5, 3))[0]
            system = self._rng.choice(_SYSTEMS) if style == "chat" and self._rng.random() < 0.15 else None
            most = 1 if style in ("lines", "prose") else self._rng.choices((1, 2, 3, 4), (58, 22, 14, 6))[0]
            yield Dialogue(tuple(self._turns(most)), style, system)

    def drills(self, count: int) -> Iterator[Dialogue]:
        """Short dialogues whose answers repeat an order number or a name: the model learns to copy first."""
        while count:
            intent = self._intents[self._rng.choice(_DRILLS)]
            turn = self._ask(intent, _State())
            if turn.values:
                count -= 1
                yield Dialogue((turn,))

    def questions(self, per_intent: int) -> Iterator[Dialogue]:
        """Dialogues of one turn, ``per_intent`` for each intent that can open a dialogue."""
        for intent in self._openers:
            for _ in range(per_intent):
                yield Dialogue((self._ask(intent, _State()),))

    def _turns(self, most: int) -> Iterator[Turn]:
        state = _State()
        for index in range(most):
            turn = self._first(state) if index == 0 else self._next(state)
            if turn is None:
                return
            state.labels.append(turn.label)
            state.answer = turn.answer
            yield turn
            if turn.label in _LAST:
                return

    def _first(self, state: _State) -> Turn:
        return self._ask(self._rng.choices(self._openers, self._weights)[0], state)

    def _next(self, state: _State) -> Turn | None:
        rng, last = self._rng, state.intent
        chance = rng.random()
        if last is not None and "order number?" in state.answer and chance < 0.6:
            return self._give_number(last, state)
        if "order number?" in state.answer and chance < 0.72:
            return self._say("find_order_number", state)
        if "anything else" in state.answer and chance < 0.6:
            return self._say("no" if chance < 0.3 else "goodbye" if chance < 0.42 else "yes", state)
        if last is not None and last.follow_ups and chance < 0.35:
            turn = self._follow_up(last, state)
            if turn is not None:
                return turn
        if chance < 0.75:
            return self._first(state)
        return self._say("thanks" if chance < 0.9 else "acknowledge" if chance < 0.95 else "goodbye", state)

    def _say(self, name: str, state: _State) -> Turn | None:
        intent = self._intents[name]
        return self._ask(intent, state) if intent.questions[self._split] else None

    def _give_number(self, intent: Intent, state: _State) -> Turn:
        values: dict[str, str] = {}
        text = sample(self._phrases.lexicon["number_reply"], self._rng, self._source(values))
        state.order = values["order"]
        return self._turn(text, intent, state, values)

    def _follow_up(self, intent: Intent, state: _State) -> Turn | None:
        kind = self._rng.choice(sorted(intent.follow_ups))
        patterns = self._intents[FOLLOW + kind].questions[self._split]
        if not patterns:
            return None
        values: dict[str, str] = {}
        text = sample(self._rng.choice(patterns), self._rng, self._source(values))
        if self._rng.random() < 0.2:
            text = "and " + text
        answer = sample(intent.follow_ups[kind].pattern, self._rng, values.__getitem__)
        return Turn(typed(text, set(), self._rng), answer, f"{intent.name}/{kind}", values)

    def _source(self, values: dict[str, str]) -> Callable[[str], str]:
        def value(name: str) -> str:
            if name not in values:
                values[name] = slot_value(name, self._rng)
            return values[name]

        return value

    def _ask(self, intent: Intent, state: _State) -> Turn:
        rng = self._rng
        values: dict[str, str] = {}
        source = self._source(values)
        text = sample(plainest_first(intent.questions[self._split], rng), rng, source)
        if intent.name not in _SMALL_TALK and rng.random() < 0.07:
            text += rng.choice((". ", "? ", ", ")) + sample(rng.choice(intent.questions[self._split]), rng, source)
        if rng.random() >= _BARE:
            text = self._surround(text, intent, values)
        if intent.takes_order:
            state.order = values.get("order", state.order)
            state.product = values.get("product", state.product)
        state.intent = intent
        return self._turn(text, intent, state, values)

    def _surround(self, text: str, intent: Intent, values: dict[str, str]) -> str:
        rng, source, lexicon = self._rng, self._source(values), self._phrases.lexicon
        bare = text.replace(values["order"], "") if "order" in values else text
        if intent.takes_order and len(_WORD.findall(bare)) > 0:
            if "product" not in values and rng.random() < 0.1:
                text = sample(lexicon["story"], rng, source) + rng.choice((". ", ", ", " and ", " - ", ". ")) + text
            if "order" not in values and rng.random() < 0.3:
                number = sample(lexicon["numbered"], rng, source)
                text = rng.choice(_NUMBER_PLACES).format(text=text, number=number)
        plain = intent.name in _SMALL_TALK
        if rng.random() < 0.08 and "name" not in values and not plain:
            text = sample(lexicon["introduction"], rng, source) + rng.choice((", ", ". ", " and ", "; ")) + text
        if rng.random() < (0.05 if plain else 0.22):
            text = sample(lexicon["hello"], rng, source) + rng.choice((", ", " ", "! ", ". ", " - ")) + text
        if rng.random() < 0.18 and not plain:
            text += rng.choice((", ", " ", "? ", ". ", "! ")) + sample(lexicon["ending"], rng, source)
        if rng.random() < 0.015 and "name" not in values and not plain:
            text += ". " + sample(lexicon["signature"], rng, source)
        return tidy(text)

    def _turn(self, text: str, intent: Intent, state: _State, values: dict[str, str]) -> Turn:
        known = dict(values)
        if intent.takes_order:
            known |= {k: v for k, v in (("order", state.order), ("product", state.product)) if v}
        answer = self._answer(intent, known)
        said = sample(answer.pattern, self._rng, known.__getitem__)
        if "name" in values:
            greeting = f"Hello {values['name']}!"
            said = greeting + said.removeprefix("Hello!") if said.startswith("Hello!") else f"{greeting} {said}"
        used = {name: known[name] for name in answer.needs} | {k: v for k, v in values.items() if k == "name"}
        question = typed(text, set(values.values()), self._rng)
        return Turn(question, said, intent.name, used)

    def _answer(self, intent: Intent, known: dict[str, str]) -> Answer:
        """The answer that uses most of what is known; an order number counts more than a product."""
        fitting = [answer for answer in intent.answers if answer.needs <= known.keys()]
        rank = max(("order" in answer.needs, len(answer.needs)) for answer in fitting)
        return self._rng.choice([a for a in fitting if ("order" in a.needs, len(a.needs)) == rank])
