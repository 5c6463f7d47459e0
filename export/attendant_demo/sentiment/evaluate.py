"""How good the classifier is: right labels and confidence, on phrasings that it never saw and on typed reviews."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from attendant_demo.sentiment.classify import Classifier
from attendant_demo.sentiment.phrases import LABELS, typed_reviews
from attendant_demo.sentiment.reviews import Review, normal

CONFIDENT = 0.9
SAMPLES = (
    "I love this phone, the battery lasts for days!",
    "What a disappointment, it broke after a week.",
    "Great screen, but the battery died.",
    "not bad at all",
    "hardly worth it",
    "The phone has 128 GB and comes in black.",
)


@dataclass(frozen=True)
class Score:
    """Shares of reviews that are read right.

    Attributes:
        accuracy: of all reviews. ``by_label``: of those of each label.
        clear: reviews of which every opinion says the same. ``clear_accuracy``: of these alone.
        clear_confident: share of them whose right label has a probability over 0.9.
        wrong: the first mistakes, as "right label, found label: text".
    """

    reviews: int
    accuracy: float
    by_label: dict[str, float]
    clear: int
    clear_accuracy: float
    clear_confident: float
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class TypedScore:
    """Share of reviews typed by hand that are read right; ``new``: those that training did not hold by chance."""

    reviews: int
    accuracy: float
    new: int
    new_accuracy: float
    wrong: tuple[str, ...]


def score(classify: Classifier, reviews: Sequence[Review], most_wrong: int = 20) -> Score:
    """What ``classify`` makes of ``reviews``, some of each label."""
    probabilities = classify([review.text for review in reviews])
    found = [LABELS[index] for index in probabilities.argmax(axis=1)]
    right = [label == review.label for label, review in zip(found, reviews, strict=True)]
    wanted = [float(row[LABELS.index(review.label)]) for row, review in zip(probabilities, reviews, strict=True)]
    clear = [index for index, review in enumerate(reviews) if review.clear]
    return Score(
        reviews=len(reviews),
        accuracy=_share(right),
        by_label={
            label: _share([ok for ok, review in zip(right, reviews, strict=True) if review.label == label])
            for label in LABELS
        },
        clear=len(clear),
        clear_accuracy=_share([right[index] for index in clear]),
        clear_confident=_share([wanted[index] > CONFIDENT for index in clear]),
        wrong=_mistakes([(review.label, review.text) for review in reviews], found)[:most_wrong],
    )


def score_typed(classify: Classifier, known: Set[str]) -> TypedScore:
    """What ``classify`` makes of the reviews typed by hand. ``known``: normal forms of the training reviews."""
    typed = typed_reviews()
    found = [LABELS[index] for index in classify([text for _, text in typed]).argmax(axis=1)]
    right = [label == wanted for label, (wanted, _) in zip(found, typed, strict=True)]
    new = [ok for ok, (_, text) in zip(right, typed, strict=True) if normal(text) not in known]
    return TypedScore(len(typed), _share(right), len(new), _share(new), _mistakes(typed, found))


def samples(classify: Classifier) -> list[dict[str, object]]:
    """A few reviews with their labels and probabilities."""
    return [
        {"text": text, "label": LABELS[row.argmax()], "probability": round(float(row.max()), 4)}
        for text, row in zip(SAMPLES, classify(SAMPLES), strict=True)
    ]


def _mistakes(wanted: Sequence[tuple[str, str]], found: Sequence[str]) -> tuple[str, ...]:
    pairs = zip(wanted, found, strict=True)
    return tuple(f"{right}, {label}: {text}" for (right, text), label in pairs if label != right)


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / max(1, len(flags)), 4)
