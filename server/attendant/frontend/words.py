"""The words of a model, for those who make tokens themselves: its tokenizer and chat templates, as a model folder has
them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any, Protocol

from tokenizers import Tokenizer

from attendant.bundle import DEFAULT_TEMPLATE, GeneratorManifest, Manifest, TextInput
from attendant.core.errors import InvalidRequest
from attendant.models.lookup import ENGINE
from attendant.models.table import Finder


@dataclass(frozen=True, slots=True)
class WordsFile:
    """A zip file with tokenizer.json, tokenizer_config.json and config.json, and its SHA-256 in hexadecimal digits."""

    data: bytes
    sha256: str


class Speaks(Protocol):
    """A model in memory."""

    @property
    def words(self) -> ModelWords | None:
        """None if it takes no text."""


class ModelWords:
    """The words of one model. The file is made once, in a thread, of what is in memory."""

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        self._manifest = manifest
        self._tokenizer = tokenizer
        self._making: asyncio.Task[WordsFile] | None = None

    async def file(self) -> WordsFile:
        """The file. Whoever asks for it first may go away."""
        if self._making is None or (self._making.done() and self._making.exception() is not None):
            self._making = asyncio.ensure_future(asyncio.to_thread(words_file, self._manifest, self._tokenizer))
        return await asyncio.shield(self._making)


class WordsService:
    """The words of all models of a server, which callers find in the table."""

    def __init__(self, models: Finder[Speaks]) -> None:
        self._models = models

    async def file(self, model: str) -> WordsFile:
        """The words of a model. Raises ModelNotFound, ModelFailed, InvalidRequest (it takes no text), Unavailable."""
        words = self._models.find(model, ENGINE).words
        if words is None:
            raise InvalidRequest("model", f"is {model[:100]!r}, which takes no text")
        return await words.file()


def words_file(manifest: Manifest, tokenizer: Tokenizer) -> WordsFile:
    """The zip file of a model's words. The same words make the same file."""
    files = {
        "tokenizer.json": tokenizer.to_str(),
        "tokenizer_config.json": json.dumps(_tokenizer_config(manifest, tokenizer), ensure_ascii=False),
        "config.json": json.dumps(_config(manifest)),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)  # which has no time of its own
    data = packed.getvalue()
    return WordsFile(data, hashlib.sha256(data).hexdigest())


def _tokenizer_config(manifest: Manifest, tokenizer: Tokenizer) -> dict[str, Any]:
    """Chat templates, and the special tokens that they and others know by name."""
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if not isinstance(manifest, GeneratorManifest):
        if isinstance(manifest.input, TextInput):
            config["model_max_length"] = manifest.input.max_tokens
        return config
    special = manifest.special_tokens
    ids = {"bos_token": special.bos, "eos_token": next(iter(special.eos), None), "pad_token": special.pad}
    config |= {name: tokenizer.id_to_token(token) for name, token in ids.items() if token is not None}
    config |= manifest.template_variables or {}
    config["model_max_length"] = manifest.context_length
    config["clean_up_tokenization_spaces"] = manifest.clean_up_spaces
    templates = manifest.templates()
    if templates.keys() == {DEFAULT_TEMPLATE}:
        config["chat_template"] = templates[DEFAULT_TEMPLATE]
    elif templates:
        config["chat_template"] = [{"name": name, "template": text} for name, text in sorted(templates.items())]
    return config


def _config(manifest: Manifest) -> dict[str, Any]:
    """Of a model's own config.json, what concerns its words."""
    config: dict[str, Any] = {"model_type": manifest.architecture}
    if isinstance(manifest, GeneratorManifest):
        special = manifest.special_tokens
        config |= {"vocab_size": manifest.vocab_size, "max_position_embeddings": manifest.context_length}
        config |= {"bos_token_id": special.bos, "eos_token_id": list(special.eos), "pad_token_id": special.pad}
    return config
