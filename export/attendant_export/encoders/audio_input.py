"""What becomes of sound before and after a speech model: samples in, and the tokens that its frames stand for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from attendant.bundle import AudioInput, CtcHead

from attendant_export.errors import SourceError, TokenizerError, UnsupportedModel

MAX_SECONDS = 60  # attention over the frames of a row takes memory by their square
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
    rate = int(extractor.sampling_rate)
    return AudioInput(
        sampling_rate=rate,
        normalise=bool(extractor.do_normalize),
        min_samples=shortest,
        max_samples=max(shortest, MAX_SECONDS * rate),
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
