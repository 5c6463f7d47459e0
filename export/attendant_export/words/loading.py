"""Has transformers make a tokenizer of a folder, quietly and without code that comes with it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attendant_export.errors import TokenizerError
from attendant_export.source.folder import SourceFolder

# Files that a tokenizer can be made of; without one, transformers may make up a few tokens.
_FILES = ("tokenizer.json", "vocab.*", "merges.txt", "*.model", "*.spm", "*.tiktoken", "tekken.json", "bpe.codes")
# Files that take a library of their own to read, which comes with the extra `export`.
_READERS = {"*.model": "sentencepiece", "*.spm": "sentencepiece", "*.tiktoken": "tiktoken"}


def load_tokenizer(folder: SourceFolder) -> tuple[Any, str]:
    """transformers' tokenizer of ``folder``, or None and the reason.

    Raises:
        TokenizerError: tokenizer.json is there and broken, or the library that reads the folder's files is missing.
    """
    from transformers import AutoTokenizer

    if not any(next(folder.path.glob(pattern), None) for pattern in _FILES):
        return None, "there are none"
    _check_json(folder.path / "tokenizer.json")
    try:
        with _quietly():
            tokenizer = AutoTokenizer.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001
        # each class of tokenizer raises errors of its own, and tokenizers bare Exceptions
        _check_readers(folder)
        return None, _reason(error)
    if not tokenizer.get_vocab():
        return None, "they make no tokens"
    return tokenizer, ""


def is_unsaid(folder: SourceFolder) -> bool:
    """Whether no file says which class the tokenizer is of, or with which settings: transformers then guesses a class
    by the model's type, and makes one without what tokenizer.json says of normalisation and decoding."""
    return not folder.config.get("tokenizer_class") and not folder.has("tokenizer_config.json")


def of_tokenizer_json(folder: SourceFolder) -> Any:
    """transformers' plain fast tokenizer of the folder's tokenizer.json and tokenizer_config.json.

    Raises:
        TokenizerError: they cannot be read.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        with _quietly():
            return PreTrainedTokenizerFast.from_pretrained(folder.path, local_files_only=True)
    except Exception as error:  # as above
        raise TokenizerError(f"{folder.path / 'tokenizer.json'} cannot be read: {_reason(error)}") from error


def _check_json(path: Path) -> None:
    from tokenizers import Tokenizer

    if not path.is_file():
        return
    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot parse
        raise TokenizerError(f"{path} cannot be read: {error}") from error


def _check_readers(folder: SourceFolder) -> None:
    """Raises TokenizerError for a file whose library is not installed."""
    if folder.has("tokenizer.json"):
        return
    for pattern, library in _READERS.items():
        found = next(folder.path.glob(pattern), None)
        if found is not None and importlib.util.find_spec(library) is None:
            raise TokenizerError(f"{found} needs the library {library} to be read: pip install 'attendant[export]'")


def _reason(error: BaseException) -> str:
    """The first line of an error's message; the few that say nothing to a user are put in words."""
    text = str(error)
    if "trust_remote_code" in text or "custom code" in text:
        return "their tokenizer is code that comes with the folder, which is not run"
    if "instantiate the backend tokenizer" in text:
        return "transformers makes no fast tokenizer of them"
    lines = text.strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' advice, which is for those who call it themselves."""
    import warnings

    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
