"""A model's words: its tokenizer and its chat template. No transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from attendant.bundle import TOKENIZER_FILE, BundleManifest
from attendant.core.errors import BundleError, InvalidRequest
from attendant.core.generation import ChatMessage, ChatPrompt, TextPrompt
from attendant.models.info import Tokenized


def load_tokenizer(bundle: Path) -> Tokenizer:
    """``tokenizer.json``, with padding and truncation turned off.

    Raises:
        BundleError: it is not usable.
    """
    path = bundle / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise BundleError(path, f"is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextCodec:
    """Text to token ids and back, for one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None) -> None:
        self.tokenizer = tokenizer
        self._template = template
        self.decode_one = lru_cache(maxsize=65_536)(self._decode_one)

    @classmethod
    def load(cls, bundle: Path, manifest: BundleManifest) -> TextCodec:
        """Read ``tokenizer.json``.

        Raises:
            BundleError: the file or the chat template is not usable.
        """
        tokenizer = load_tokenizer(bundle)
        template = ChatTemplate(manifest, tokenizer, bundle) if manifest.chat_template else None
        return cls(tokenizer, template)

    def encode(self, prompt: TextPrompt | ChatPrompt) -> Tokenized:
        """Token ids of a prompt.

        Raises:
            InvalidRequest: a chat prompt for a model without a template, or one that the template refuses.
        """
        if isinstance(prompt, ChatPrompt):
            # the template writes every special token itself
            encoding = self.tokenizer.encode(self._render(prompt.messages), add_special_tokens=False)
        else:
            encoding = self.tokenizer.encode(prompt.text, add_special_tokens=prompt.add_special_tokens)
        return Tokenized(tuple(encoding.ids), tuple(encoding.tokens))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids; bytes that are no character become U+FFFD."""
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)
        return text

    def _decode_one(self, token_id: int) -> str:
        """Text of one token alone. Kept: streams ask for the same ones over and over."""
        return self.decode((token_id,))

    def _render(self, messages: Sequence[ChatMessage]) -> str:
        if self._template is None:
            raise InvalidRequest("chat", "is not possible: this model has no chat template; send text or token_ids")
        return self._template.render(messages)


class ChatTemplate:
    """A chat template in the form that Hugging Face tokenizers carry, rendered by jinja2 in a sandbox."""

    def __init__(self, manifest: BundleManifest, tokenizer: Tokenizer, bundle: Path) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda format_: datetime.now().strftime(format_)
        special = manifest.special_tokens
        self._variables = {
            "bos_token": tokenizer.id_to_token(special.bos) if special.bos is not None else "",
            "eos_token": tokenizer.id_to_token(special.eos[0]) if special.eos else "",
        }
        try:
            self._template = environment.from_string(manifest.chat_template or "")
        except jinja2.TemplateError as error:
            raise BundleError(bundle, f"the chat template does not compile: {error}") from error

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The conversation as one text, ready for the assistant's answer."""
        if not messages:
            raise InvalidRequest("chat.messages", "is empty; allowed: at least one message")
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._variables)
        except SecurityError as error:
            raise InvalidRequest("chat", f"the model's chat template does what a sandbox forbids: {error}") from error
        except (jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            raise InvalidRequest("chat.messages", f"were refused by the model's chat template: {error}") from error


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
