"""What a call on a model that encodes may carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant.frontend.encoding.calls import (
    AnswerCall,
    Audio,
    ClassifyAudioCall,
    ClassifyCall,
    ClassifyImageCall,
    ClassifyTokensCall,
    EmbedCall,
    EmbedImageCall,
    EmbedSparseCall,
    FillMaskCall,
    LogitsCall,
    RerankCall,
    TextItem,
    TranscribeCall,
)
from attendant.frontend.limits import CallLimits


def check_encoding(limits: CallLimits, call: Any) -> None:
    """A call on a model that encodes, of any kind. Raises InvalidRequest."""
    match call:
        case EmbedCall() | EmbedSparseCall() | ClassifyCall() | LogitsCall():
            limits.check_inputs("inputs", call.inputs)
            _items(limits, call.inputs)
        case AnswerCall():
            limits.check_inputs("inputs", call.inputs)
            limits.check_texts("inputs[{}].question", [item.question for item in call.inputs])
            limits.check_texts("inputs[{}].context", [item.context for item in call.inputs])
        case ClassifyTokensCall() | FillMaskCall():
            limits.check_inputs("texts", call.texts)
            limits.check_texts("texts[{}]", call.texts)
        case RerankCall():
            limits.check_text("query", call.query)
            limits.check_inputs("documents", call.documents)
            limits.check_texts("documents[{}]", call.documents)
        case ClassifyImageCall() | EmbedImageCall():
            limits.check_inputs("images", call.images)
            for place, image in enumerate(call.images):
                if isinstance(image, bytes):
                    limits.check_image(f"images[{place}]", image)
        case TranscribeCall() | ClassifyAudioCall():
            limits.check_inputs("inputs", call.inputs)
            for place, audio in enumerate(call.inputs):
                limits.check_sound(f"inputs[{place}].{_kind(audio)}", audio.data)
        case _:
            raise AssertionError(f"{type(call).__name__} has no limits")


def _items(limits: CallLimits, items: Sequence[TextItem]) -> None:
    """The longer text of an item stands for it: fields of items are not told apart."""
    limits.check_texts("inputs[{}]", [max(item.text, item.pair, key=len) for item in items])


def _kind(audio: Audio) -> str:
    return "wav" if audio.is_wav else "samples"
