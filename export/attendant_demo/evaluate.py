"""How good the demo model is: right intents and copied order numbers, on phrasings that it never saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from attendant_demo.dialogues import Composer, Dialogue, Turn, normal
from attendant_demo.generate import Answerer, Messages
from attendant_demo.labels import Labeller
from attendant_demo.phrases import typed_questions

SAMPLE_QUESTIONS = (
    "hi, where's my parcel?? order 48213",
    "I want my money back",
    "how do I change my password",
    "what's the weather",
    "My new kettle arrived broken, order number is 7714902",
    "can i still cancel order 33127",
    "do you deliver to Portugal?",
    "My name is Anna and I still have not received my headphones",
    "which payment methods do you accept",
    "thanks, that helped a lot!",
)


@dataclass(frozen=True)
class Question:
    """A conversation up to a question, and the turn that answers it."""

    messages: Messages
    turn: Turn


@dataclass(frozen=True)
class Score:
    """Shares of right answers. ``orders_copied`` is over the questions whose answer names an order."""

    questions: int
    right_intent: float
    orders: int
    orders_copied: float
    mistakes: dict[str, int]


@dataclass(frozen=True)
class TypedScore:
    """Share of questions typed by hand that are answered right; ``new``: those that training did not hold by chance."""

    questions: int
    right_intent: float
    new: int
    new_right_intent: float
    wrong: list[str]


def questions(dialogues: Sequence[Dialogue]) -> list[Question]:
    """The last question of each dialogue, with the turns before it."""
    return [
        Question(dialogue.messages()[:-1], dialogue.turns[-1]) for dialogue in dialogues if dialogue.style == "chat"
    ]


def normal_questions(dialogues: Sequence[Dialogue]) -> set[str]:
    """All questions without case, punctuation and slot values."""
    return {turn.normal_question() for dialogue in dialogues for turn in dialogue.turns}


def held_out(seed: int, per_intent: int, known: Set[str]) -> list[Dialogue]:
    """Questions of held-out phrasings, without those whose normal form is in ``known``."""
    asked = Composer("held_out", seed).questions(per_intent)
    return [dialogue for dialogue in asked if dialogue.turns[0].normal_question() not in known]


def held_out_conversations(seed: int, count: int) -> list[Dialogue]:
    """Dialogues of several turns, all of held-out phrasings."""
    dialogues = Composer("held_out", seed).dialogues(count * 4)
    return [dialogue for dialogue in dialogues if len(dialogue.turns) > 1 and dialogue.style == "chat"][:count]


def score(asked: Sequence[Question], answer: Answerer, labeller: Labeller) -> Score:
    """Answer all questions and count what is right."""
    answers = answer([question.messages for question in asked])
    right = orders = copied = 0
    mistakes: Counter[str] = Counter()
    for question, said in zip(asked, answers, strict=True):
        label = labeller.label(said)
        right += label == question.turn.label
        if label != question.turn.label:
            mistakes[f"{question.turn.label} answered as {label}"] += 1
        if "order" in question.turn.values:
            orders += 1
            copied += f"order {question.turn.values['order']}" in said
    total = len(asked)
    return Score(total, right / total, orders, copied / orders if orders else 0.0, dict(mistakes.most_common(40)))


def score_typed(answer: Answerer, labeller: Labeller, known: Set[str]) -> TypedScore:
    """Answer the questions typed by hand."""
    pairs = typed_questions()
    answers = answer([[{"role": "user", "content": question}] for _, question in pairs])
    right = {question: labeller.label(said) == intent for (intent, question), said in zip(pairs, answers, strict=True)}
    new = [question for question in right if normal(question, {}) not in known]
    wrong = [f"{i}: {q} -> {a}" for (i, q), a in zip(pairs, answers, strict=True) if not right[q]]
    return TypedScore(
        len(right), sum(right.values()) / len(right), len(new), sum(right[q] for q in new) / len(new), wrong
    )


def samples(answer: Answerer) -> list[dict[str, str]]:
    """Answers to ten fixed questions."""
    answers = answer([[{"role": "user", "content": question}] for question in SAMPLE_QUESTIONS])
    return [{"question": q, "answer": a} for q, a in zip(SAMPLE_QUESTIONS, answers, strict=True)]
