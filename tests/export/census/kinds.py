"""What the census goes through: which classes of transformers, and how each kind is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.export.census.outcome import Judged

Judge = Callable[[str, str, Path], Judged]
"""Takes model type, class and an empty folder; gives the largest error; raises what the outcome is made of."""


@dataclass(frozen=True)
class Kind:
    """A kind of classes.

    Attributes:
        title: of its table. mappings: names of transformers' auto mappings. judge: where its judge is, module:function.
    """

    title: str
    mappings: tuple[str, ...]
    judge: str

    def classes(self) -> dict[str, str]:
        """Class by model type; the first of several."""
        from transformers.models.auto import modeling_auto

        found: dict[str, str] = {}
        for mapping in self.mappings:
            for model_type, name in getattr(modeling_auto, mapping).items():
                found.setdefault(model_type, name if isinstance(name, str) else name[0])
        return dict(sorted(found.items()))

    def load_judge(self) -> Judge:
        """Its judge."""
        from importlib import import_module

        module, name = self.judge.split(":")
        found: Judge = getattr(import_module(f"tests.export.census.{module}"), name)
        return found


_FOR, _NAMES = "MODEL_FOR_", "_MAPPING_NAMES"
KINDS: dict[str, Kind] = {
    "causal-lm": Kind("Decoders", (f"{_FOR}CAUSAL_LM{_NAMES}",), "decoders:judge"),
    "classify": Kind("Classifiers of texts", (f"{_FOR}SEQUENCE_CLASSIFICATION{_NAMES}",), "encoders:judge"),
    "classify-tokens": Kind("Classifiers of tokens", (f"{_FOR}TOKEN_CLASSIFICATION{_NAMES}",), "encoders:judge"),
    "answer": Kind("Answers in a text", (f"{_FOR}QUESTION_ANSWERING{_NAMES}",), "encoders:judge"),
    "fill-mask": Kind("Missing words", (f"{_FOR}MASKED_LM{_NAMES}",), "encoders:judge"),
    "embed": Kind("Embeddings of texts", (f"{_FOR}TEXT_ENCODING{_NAMES}",), "encoders:judge"),
    "seq2seq": Kind("Encoder-decoders", (f"{_FOR}SEQ_TO_SEQ_CAUSAL_LM{_NAMES}",), "answerers:judge_text"),
    "speech": Kind("Speech to text", (f"{_FOR}SPEECH_SEQ_2_SEQ{_NAMES}",), "answerers:judge_speech"),
    "classify-image": Kind("Classifiers of images", (f"{_FOR}IMAGE_CLASSIFICATION{_NAMES}",), "images:judge"),
    "embed-image": Kind("Embeddings of images", (f"{_FOR}IMAGE{_NAMES}",), "images:judge"),
    "classify-audio": Kind("Classifiers of sound", (f"{_FOR}AUDIO_CLASSIFICATION{_NAMES}",), "sounds:judge"),
    "transcribe": Kind("Speech spelt by its frames", (f"{_FOR}CTC{_NAMES}",), "sounds:judge"),
    "multimodal": Kind(
        "Language models of what reads images or sound, too",
        (f"{_FOR}IMAGE_TEXT_TO_TEXT{_NAMES}", f"{_FOR}MULTIMODAL_LM{_NAMES}"),
        "multimodal:judge",
    ),
}
