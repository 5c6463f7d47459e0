"""Plans bundles of models that label recordings: by samples (wav2vec2 and its kin) or by spectra (AST, Whisper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from attendant.bundle import AudioInput, SpectrumInput
from attendant.bundle.graph_io import ROW_LOGITS, SOUND, SPECTRA, symbols_of

from attendant_export.encoders.attention import EncoderAttention
from attendant_export.encoders.audio_input import audio_input, load_extractor, spectrum_input
from attendant_export.encoders.fusible import is_fusible
from attendant_export.encoders.plan import EncoderCase, EncoderPlan, Floats
from attendant_export.encoders.sound_samples import run_alone, sound_rows
from attendant_export.encoders.text_plan import labels_of, problem_of
from attendant_export.encoders.trace import EncoderSpec, Feeds
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.precision import in_dtype
from attendant_export.source.folder import SourceFolder

_AST = "audio-spectrogram-transformer"
_SPECTRA = (_AST, "whisper")


class SoundModule(torch.nn.Module):  # type: ignore[misc]
    """An :class:`~attendant_export.encoders.trace.EncoderModule`: input_values [rows, samples], or input_features
    [rows, num_mel_bins, num_frames], to logits [rows, labels]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.attention = EncoderAttention(str(model.config.model_type))

    def forward(self, feeds: Feeds) -> torch.Tensor:
        """See the class."""
        self.attention.start()
        ((name, given),) = feeds.items()
        given = given.to(self.model.dtype)
        if self.model.config.model_type == _AST:
            name, given = SOUND.input_values.name, given.transpose(1, 2)
        logits: torch.Tensor = self.model(**{name: given}).logits
        return logits


def plan_sounds(folder: SourceFolder, task: Literal["classify_audio"] = "classify_audio") -> EncoderPlan:
    """The plan of a model folder.

    Raises:
        SourceError: a file is missing or cannot be read.
        UnsupportedModel: the model or its feature extractor does something that a bundle has no place for.
    """
    extractor = load_extractor(folder.path)
    return plan_labels(folder.pretrained("AutoModelForAudioClassification"), extractor)


def plan_labels(model: Any, extractor: Any) -> EncoderPlan:
    """The plan of a model and a feature extractor of transformers that are in memory.

    Rows that run together are equally long (layout ``equal``), so that none hears the padding of another.

    Args:
        model: float32, eager attention, in eval mode.

    Raises:
        UnsupportedModel: see :func:`plan_sounds`.
    """
    config = model.config
    spectral = config.model_type in _SPECTRA
    takes = spectrum_input(extractor, config) if spectral else audio_input(extractor, config)
    port = SPECTRA.input_features if spectral else SOUND.input_values
    samples = _samples(takes)
    module = SoundModule(model).eval()
    with failures_of(config.model_type), torch.no_grad():
        wanted = [run_alone(module, port.name, rows) for rows in samples]
        if isinstance(takes, AudioInput):
            run_alone(module, port.name, samples[0][:1, : takes.min_samples])
    feeds = {port.name: torch.from_numpy(samples[0])}
    fused = is_fusible(module, feeds, torch.from_numpy(wanted[0]))
    labels = labels_of(model)
    if wanted[0].shape[-1] != len(labels):
        raise UnsupportedModel(config.model_type, f"it has {len(labels)} labels and gives {wanted[0].shape[-1]} logits")

    def spec(dtype: torch.dtype) -> EncoderSpec:
        cast = in_dtype(model, dtype)
        dimensions = symbols_of(port, ROW_LOGITS)
        return EncoderSpec(SoundModule(cast).eval(), cast, feeds, ROW_LOGITS.name, dimensions, fused)

    return EncoderPlan(
        task="classify_audio",
        architecture=str(config.model_type),
        input=takes,
        layout="equal",
        spec=spec,
        cases=lambda: _cases(port.name, samples, wanted),
        labels=labels,
        problem=problem_of(model),
    )


def _samples(takes: AudioInput | SpectrumInput) -> Sequence[Floats]:
    """Three rows of what the model takes, and a longer one, or another one where all have one size."""
    if isinstance(takes, AudioInput):
        return sound_rows(takes, takes.samples_per_frame)
    # Loudness by bin and frame that rises and falls slowly, with some noise; of about the size of the models' inputs.
    generator = torch.Generator().manual_seed(0)
    slow = torch.rand((4, 1, 8, 16), generator=generator)
    size = takes.num_mel_bins, takes.num_frames
    large = torch.nn.functional.interpolate(slow, size, mode="bilinear")[:, 0]
    spectra = (large + 0.2 * torch.rand((4, *size), generator=generator) - 0.6).numpy()
    return np.ascontiguousarray(spectra[:3]), np.ascontiguousarray(spectra[3:])


def _cases(name: str, samples: Sequence[Floats], wanted: Sequence[Floats]) -> Sequence[EncoderCase]:
    def case(called: str, rows: Floats, logits: Floats) -> EncoderCase:
        return EncoderCase(called, {name: rows}, logits, lambda output: output)

    return case("batch", samples[0], wanted[0]), case("single", samples[1], wanted[1])
