"""What a call that explains may carry."""

from __future__ import annotations

from attendant.frontend.explain.calls import GivenAnswer, ImageFile, SoundFile, Subject
from attendant.frontend.limits import CallLimits


def check_subject(limits: CallLimits, subject: Subject, answer: GivenAnswer | None) -> None:
    """What is to be explained. Raises InvalidRequest."""
    match subject.given:
        case ImageFile(data=data):
            limits.check_image("image", data)
        case SoundFile(data=data):
            limits.check_sound("audio", data)
        case given:
            limits.check_prompt(given)
    limits.check_text("second_text", subject.second_text)
    if answer is not None:
        limits.check_text("answer.text", answer.text or "")
