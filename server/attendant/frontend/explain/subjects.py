"""A subject as a model sees it: its tokens with their texts, and what the model's thread computes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from attendant.bundle import EncoderTask, Patches
from attendant.core.attention import AttentionModel, AttentionSubject
from attendant.core.chat import ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt
from attendant.core.receipt import Maker
from attendant.frontend.admission import Gate
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.explain.calls import Answered, ExplainedToken, ImageFile, Subject
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.jobs import JobHub
from attendant.frontend.speech.served import ServedListener

UNANSWERED = Answered()


class Explains(Protocol):
    """What takes the calls of a model."""

    @property
    def name(self) -> str:
        """What callers call it."""

    @property
    def maker(self) -> Maker:
        """What makes its answers."""

    @property
    def explained(self) -> Gate:
        """Lets calls that explain in, whatever they are at."""

    @property
    def generation(self) -> ModelHub | None:
        """Where calls that generate go; None if it takes none."""

    @property
    def encoders(self) -> Mapping[EncoderTask, ServedEncoder]:
        """Where calls that encode go, by their task."""

    @property
    def speech(self) -> ServedListener | None:
        """Where recordings go; None if it takes none."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A subject, tokenised as the model's own calls do it.

    Attributes:
        subject: what the model's thread computes.
        tokens: of the sequence: an encoder's input; a decoder's prompt and answer.
        sources: of what an encoder-decoder reads.
        num_prompt: of a decoder, tokens before the answer.
        causal: a token looks only at itself and those before.
        text: that spans are of; empty where tokens have no place in a text.
    """

    subject: AttentionSubject
    tokens: tuple[ExplainedToken, ...]
    sources: tuple[ExplainedToken, ...] = ()
    num_prompt: int = 0
    answer: Answered = UNANSWERED
    causal: bool = False
    text: str = ""
    grid: Patches | None = None
    frame_s: float = 0.0


def place_of(model: Explains) -> tuple[JobHub, AttentionModel]:
    """Where jobs of a model run, and what computes them; the model gives attention: the lookup has looked."""
    if model.generation is not None and (attention := model.generation.model.attention) is not None:
        return model.generation.jobs, attention
    for encoder in model.encoders.values():
        if (attention := encoder.hub.model.attention) is not None:
            return encoder.hub.jobs, attention
    raise AssertionError("the lookup has looked")


def check_length(num_tokens: int, limit: int, setting: int) -> None:
    """Refuse what is too long to be looked at.

    Args:
        limit: of the model's. setting: ``explain.max_tokens``.

    Raises:
        InvalidRequest: naming the smaller one.
    """
    if num_tokens > min(limit, setting):
        whose = f"{setting} (explain.max_tokens)" if setting <= limit else f"{limit}, for this model"
        raise InvalidRequest("subject", f"has {num_tokens} tokens, with the answer's; allowed: at most {whose}")


def name_of(subject: Subject) -> str:
    """The field that the caller gave."""
    match subject.given:
        case TextPrompt():
            return "text"
        case TokenPrompt():
            return "token_ids"
        case ChatPrompt():
            return "chat"
        case ImageFile():
            return "image"
    return "audio"


def given_text(subject: Subject) -> str:
    """The text that spans are of: of a conversation its last message; empty where there is none."""
    match subject.given:
        case TextPrompt(text=text):
            return text
        case ChatPrompt(messages=messages) if messages:
            return messages[-1].text
    return ""


def refuse(subject: Subject, model: str, allowed: Sequence[str]) -> None:
    """Raises InvalidRequest if the subject is not one of those kinds."""
    if (name := name_of(subject)) not in allowed:
        raise InvalidRequest(name, f"is not what {model!r} reads; allowed: {', '.join(allowed)}")


def refuse_beside(subject: Subject, model: str, *allowed: str) -> None:
    """Raises InvalidRequest if the subject says what is for other models: a second text, or languages."""
    if subject.second_text and "second_text" not in allowed:
        raise InvalidRequest("second_text", f"is for models that read pairs of texts; {model!r} does not")
    if subject.translation is not None and "translation" not in allowed:
        raise InvalidRequest("translation", f"is for models that translate; {model!r} does not")
