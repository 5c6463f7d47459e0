"""Plans bundles of speech models whose frames spell text (connectionist temporal classification)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from attendant.bundle.graph_io import FRAME_LOGITS, SOUND, symbols_of

from attendant_export.attention.reference import Look
from attendant_export.encoders.attention import EncoderAttention
from attendant_export.encoders.audio_input import audio_input, ctc_head, load_extractor, load_tokenizer
from attendant_export.encoders.fusible import is_fusible
from attendant_export.encoders.plan import EncoderCase, EncoderPlan, Floats
from attendant_export.encoders.sound_samples import MORE_FRAMES, run_alone, sound_rows
from attendant_export.encoders.trace import EncoderSpec, Feeds
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.precision import in_dtype
from attendant_export.source.folder import SourceFolder

_SAMPLES = SOUND.input_values


class SpeechModule(torch.nn.Module):  # type: ignore[misc]
    """An :class:`~attendant_export.encoders.trace.EncoderModule`: input_values [rows, samples] to logits
    [rows, frames, vocab_size]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.attention = EncoderAttention(str(model.config.model_type))

    def forward(self, feeds: Feeds) -> torch.Tensor:
        """See the class."""
        self.attention.start()
        logits: torch.Tensor = self.model(input_values=feeds[_SAMPLES.name].to(self.model.dtype)).logits
        return logits


def plan_audio(folder: SourceFolder, task: Literal["transcribe"] = "transcribe") -> EncoderPlan:
    """The plan of a model folder.

    Raises:
        SourceError: a file is missing or cannot be read.
        UnsupportedModel: the model, its feature extractor or its tokenizer does something that a bundle has no place
            for.
    """
    extractor, tokenizer = load_extractor(folder.path), load_tokenizer(folder.path)
    return plan_speech(folder.pretrained("AutoModelForCTC"), extractor, tokenizer)


def plan_speech(model: Any, extractor: Any, tokenizer: Any) -> EncoderPlan:
    """The plan of a model, a feature extractor and a tokenizer of transformers that are in memory.

    Rows that run together are equally long (layout ``equal``): models that were trained without a mask would hear
    padding as silence.

    Args:
        model: float32, eager attention, in eval mode.

    Raises:
        UnsupportedModel: see :func:`plan_audio`.
    """
    config = model.config
    limits, head = audio_input(extractor, config), ctc_head(tokenizer, config)
    samples = sound_rows(limits, head.samples_per_frame)
    module = SpeechModule(model).eval()
    with failures_of(config.model_type), torch.no_grad():
        wanted = [run_alone(module, _SAMPLES.name, rows) for rows in samples]
        shortest = run_alone(module, _SAMPLES.name, samples[0][:, : limits.min_samples])
    if wanted[1].shape[1] - wanted[0].shape[1] != MORE_FRAMES or shortest.shape[1] < 1:
        raise UnsupportedModel(config.model_type, f"a frame of it is not {head.samples_per_frame} samples")
    feeds = {_SAMPLES.name: torch.from_numpy(samples[0])}
    fused = is_fusible(module, feeds, torch.from_numpy(wanted[0]))

    def spec(dtype: torch.dtype) -> EncoderSpec:
        cast = in_dtype(model, dtype)
        dimensions = symbols_of(_SAMPLES, FRAME_LOGITS)
        return EncoderSpec(SpeechModule(cast).eval(), cast, feeds, FRAME_LOGITS.name, dimensions, fused)

    return EncoderPlan(
        task="transcribe",
        architecture=str(config.model_type),
        input=limits,
        layout="equal",
        spec=spec,
        cases=lambda: _cases(samples, wanted),
        ctc=head,
        look=lambda: Look(model, {_SAMPLES.name: samples[0][:1]}),
    )


def _cases(samples: Sequence[Floats], wanted: Sequence[Floats]) -> Sequence[EncoderCase]:
    def case(name: str, rows: Floats, logits: Floats) -> EncoderCase:
        flat = logits.reshape(-1, logits.shape[-1])
        return EncoderCase(name, {_SAMPLES.name: rows}, flat, lambda output: output.reshape(-1, output.shape[-1]))

    return case("batch", samples[0], wanted[0]), case("single", samples[1], wanted[1])
