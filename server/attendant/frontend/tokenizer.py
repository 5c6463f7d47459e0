"""The words of models as a service: tokens of texts and texts of tokens, whatever the models do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from attendant.bundle import EmbeddingHead, EncoderTask, TextSource
from attendant.core.chat import ChatPrompt, ToolChoice
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.encoding.text import prompt_text
from attendant.frontend.generation.apart import with_usable_tools
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.prompts import shown_tools, timely, tokens_of
from attendant.frontend.limits import CallLimits
from attendant.models.generators import GeneratorPart
from attendant.models.info import Piece, Tokenized
from attendant.models.lookup import ENCODER_WORDS, WORDS, Wanted
from attendant.models.table import Finder
from attendant.models.text import TextCodec
from attendant.tasks.known_ids import check_known


class HasWords(Protocol):
    """A model that is served, and reads or writes texts."""

    @property
    def generation(self) -> ModelHub | None:
        """Where calls that generate go; None if it takes none."""

    @property
    def encoders(self) -> Mapping[EncoderTask, ServedEncoder]:
        """Where calls go that encode, by their task."""


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one model. ``limit``: tokens of the longest text that a call on it may have; ``head``: of models
    that embed, whose prompts it has."""

    codec: TextCodec
    limit: int
    vocab_size: int
    head: EmbeddingHead | None = None


class TokenizerService:
    """The tokenizers of all models of a server, which calls find in the table.

    Methods take ``model`` as other calls do. They raise ModelNotFound, ModelFailed, Unavailable, and InvalidRequest for
    a model that reads no texts.
    """

    def __init__(
        self, models: Finder[HasWords], given: GivenTemplates | None = None, limits: CallLimits | None = None
    ) -> None:
        self._models = models
        self._given = given
        self._limits = limits or CallLimits()

    async def tokenize(
        self, model: str, prompt: TextPrompt | ChatPrompt, tool_choice: ToolChoice | None = None
    ) -> Tokenized:
        """Token ids of a text, or of a conversation as the model's template writes it.

        Without a name, the only model that generates is meant, or where none does the only one that encodes texts.

        Args:
            tool_choice: of a call with this prompt, which shows the model no tools but those that it may call.

        Raises:
            InvalidRequest: the text is far longer than any that the model reads; or as the template refuses it.
        """
        words = self._words(model, WORDS)
        self._limits.check_prompt(prompt)
        if tool_choice is not None and isinstance(prompt, ChatPrompt):
            call = with_usable_tools(GenerationCall(model, prompt, tool_choice=tool_choice))
            prompt = replace(prompt, tools=shown_tools(words.codec, call, prompt))
        return await tokens_of(words.codec, prompt, words.limit, self._given)

    async def detokenize(
        self,
        model: str,
        token_ids: Sequence[int],
        *,
        keep_special_tokens: bool = False,
        wanted: Wanted = WORDS,
    ) -> str:
        """The text of token ids.

        Args:
            wanted: of the model, where none is named.

        Raises:
            InvalidRequest: an id that the model has not, or more ids than become a text.
        """
        words = self._words(model, wanted)
        self._limits.check_text_tokens("token_ids", token_ids)

        def decode() -> str:
            check_known(words.codec.tokenizer, token_ids, words.vocab_size, "token_ids")
            return words.codec.decode(token_ids, skip_special_tokens=not keep_special_tokens)

        return await timely(len(token_ids), decode)

    async def pieces(self, model: str, text: str, *, special: bool, prompt: str = "") -> tuple[str, tuple[Piece, ...]]:
        """The text with its prompt before it, and its tokens with their places in that.

        Without a name of a model, the only one that encodes texts is meant, or where none does the only one that
        generates.

        Args:
            special: also the tokens that stand around a text.
            prompt: name of one of the model's; empty for its default one, if it has one.

        Raises:
            InvalidRequest: the text is far longer than any that the model reads; or it has no such prompt.
        """
        words = self._words(model, ENCODER_WORDS)
        self._limits.check_text("text", text)
        whole = prompt_text(words.head, prompt) + text
        return whole, await timely(len(whole), lambda: words.codec.pieces(whole, words.limit, special=special))

    def _words(self, model: str, wanted: Wanted) -> _Words:
        served = self._models.find(model, wanted)
        if served.generation is not None:
            part = served.generation.model
            return _Words(part.text, _longest(part), part.manifest.vocab_size)
        encoder = next(each for each in served.encoders.values() if each.reads_text)  # the lookup has looked
        text = encoder.text
        return _Words(text.codec, text.rows.window_limit(0), encoder.vocab_size, encoder.manifest.embedding)


def _longest(part: GeneratorPart) -> int:
    """Tokens of the longest prompt, or source, of a model that generates."""
    source = part.manifest.encoder_input
    return max(part.context_length - 1, source.max_length if isinstance(source, TextSource) else 0)
