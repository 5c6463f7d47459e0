"""What becomes of sound before and after a speech model: samples in, and the tokens that its frames stand for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attendant.bundle import AudioInput, CtcHead, SpectrumInput

from attendant_export.errors import SourceError, TokenizerError, UnsupportedModel

MAX_SECONDS = 60  # attention over the frames of a row takes memory by their square
_AST, _WHISPER = "ASTFeatureExtractor", "WhisperFeatureExtractor"
_AST_FRAME, _AST_HOP = 400, 160  # samples
_EXTRACTOR, _TOKENIZER = "Wav2Vec2FeatureExtractor", "Wav2Vec2CTCTokenizer"


def load_extractor(folder: Path) -> Any:
    """The feature extractor of a model folder, of transformers.

    Raises:
        SourceError: the folder has none, or it cannot be read.
    """
    from transformers import AutoFeatureExtractor

    try:
        return AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError) as error:
        raise SourceError(f"{folder}: the feature extractor cannot be loaded: {_first_line(error)}") from error


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, of transformers.

    Raises:
        TokenizerError: the folder has none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError) as error:
        raise TokenizerError(f"{folder}: the tokenizer cannot be loaded: {_first_line(error)}") from error


def audio_input(extractor: Any, config: Any) -> AudioInput:
    """The rows that a model with a stack of convolutions before its layers takes.

    Raises:
        UnsupportedModel: the extractor makes more of sound than normalised samples, or there is no such stack.
    """
    kind = type(extractor).__name__
    if kind != _EXTRACTOR or extractor.feature_size != 1:
        raise UnsupportedModel(config.model_type, f"its feature extractor is {kind}; allowed: {_EXTRACTOR}")
    kernels, strides = _stack(config)
    shortest = _frames(config)
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        shortest = (shortest - 1) * stride + kernel
    rate, step = int(extractor.sampling_rate), math.prod(strides)
    longest = max(shortest, MAX_SECONDS * rate)
    if getattr(config, "position_embeddings_type", None) == "relative":  # of a table, which a graph cannot extend
        longest = min(longest, shortest + (int(config.max_source_positions) - 1) * step)
    return AudioInput(
        sampling_rate=rate,
        normalise=bool(extractor.do_normalize),
        min_samples=shortest,
        max_samples=longest,
        samples_per_frame=step,
    )


def spectrum_input(extractor: Any, config: Any) -> SpectrumInput:
    """The spectra that a model takes, as the server makes them.

    Raises:
        UnsupportedModel: the extractor makes something else.
    """
    kind = type(extractor).__name__
    rate = int(extractor.sampling_rate)
    if kind == _AST:
        shifted = bool(extractor.do_normalize)
        frames = int(extractor.max_length)
        return SpectrumInput(
            scale="kaldi",
            sampling_rate=rate,
            num_mel_bins=int(extractor.num_mel_bins),
            num_frames=frames,
            mean=float(extractor.mean) if shifted else 0.0,
            std=2 * float(extractor.std) if shifted else 1.0,
            min_samples=_AST_FRAME,
            max_samples=(frames - 1) * _AST_HOP + _AST_FRAME,
        )
    if kind != _WHISPER:
        raise UnsupportedModel(config.model_type, f"its feature extractor is {kind}; allowed: {_AST}, {_WHISPER}")
    if getattr(extractor, "do_normalize", False) or getattr(extractor, "dither", 0.0):
        raise UnsupportedModel(config.model_type, f"its feature extractor {kind} normalises samples or adds noise")
    if extractor.padding_value != 0 or extractor.n_samples != extractor.nb_max_frames * extractor.hop_length:
        raise UnsupportedModel(config.model_type, f"its feature extractor {kind} fills rows up in a way of its own")
    return SpectrumInput(
        scale="slaney",
        sampling_rate=rate,
        num_mel_bins=int(extractor.feature_size),
        num_frames=int(extractor.nb_max_frames),
        frame_length=int(extractor.n_fft),
        hop_length=int(extractor.hop_length),
        fft_length=int(extractor.n_fft),
        min_samples=1,
        max_samples=int(extractor.n_samples),
    )


def ctc_head(tokenizer: Any, config: Any) -> CtcHead:
    """How a model's frames become text.

    Raises:
        UnsupportedModel: a tokenizer that makes text in another way, or frames of several lengths.
    """
    kind = type(tokenizer).__name__
    if kind != _TOKENIZER or tokenizer.replace_word_delimiter_char != " ":
        raise UnsupportedModel(config.model_type, f"its tokenizer is {kind}, which makes words in a way of its own")
    if getattr(config, "add_adapter", False):
        raise UnsupportedModel(config.model_type, "an adapter after its layers changes the length of its frames")
    tokens = tokenizer.convert_ids_to_tokens(list(range(config.vocab_size)))
    delimiter = str(tokenizer.word_delimiter_token)
    if tokenizer.do_lower_case:
        tokens, delimiter = [token.lower() for token in tokens], delimiter.lower()
    return CtcHead(
        vocabulary=tuple(tokens),
        blank_id=tokenizer.pad_token_id,
        word_delimiter=delimiter,
        samples_per_frame=math.prod(_stack(config)[1]),
    )


def _stack(config: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel sizes and strides of the convolutions, the first one first."""
    try:
        return tuple(config.conv_kernel), tuple(config.conv_stride)
    except AttributeError as error:
        reason = "its config has no conv_kernel and conv_stride, so what a frame lasts is not known"
        raise UnsupportedModel(config.model_type, reason) from error


def _frames(config: Any) -> int:
    """Of the shortest row: SEW takes several frames as one."""
    return int(getattr(config, "squeeze_factor", 1))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
