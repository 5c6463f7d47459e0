"""A user's own text to calibrate with."""

from __future__ import annotations

from pathlib import Path

from attendant_export.errors import CalibrationError
from attendant_export.prompts import Encode

LEAST_TOKENS = 256


def read_calibration(path: Path) -> str:
    """The text of a file.

    Raises:
        CalibrationError: it cannot be read, or is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"the calibration file {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(
            f"the calibration file {path} is no UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error


def encoding(tokenizer_json: str | None) -> Encode | None:
    """Text to token ids, without special tokens, by a tokenizer.json; None without one."""
    if tokenizer_json is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def check_calibration(text: str | None, encode: Encode | None) -> None:
    """Refuses a text of too few tokens to measure anything on.

    Args:
        encode: None for a model that reads no text.

    Raises:
        CalibrationError: says how many it has and how many are needed.
    """
    if text is None:
        return
    if encode is None:
        raise CalibrationError("a calibration text is for models that read text, which this one does not")
    found = len(encode(text))
    if found < LEAST_TOKENS:
        raise CalibrationError(
            f"the calibration text has {found} tokens; at least {LEAST_TOKENS} are needed, of text like that which "
            "the model is for"
        )
