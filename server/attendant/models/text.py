"""A model's words: its tokenizer and its chat template. No transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from attendant.bundle import (
    DEFAULT_TEMPLATE,
    TOKENIZER_FILE,
    ChatTemplates,
    GeneratorManifest,
    TemplateBroken,
    TemplateHabits,
)
from attendant.bundle.contained import MAX_TOKENIZER
from attendant.core.chat import ChatPrompt
from attendant.core.errors import BundleError, ContextExceeded, InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.grammars.token_bytes import TokenBytes
from attendant.models.conversations import choose
from attendant.models.conversations import rendered as rendered_chat
from attendant.models.info import ChatFacts, Piece, Tokenized
from attendant.models.spaces import clean_spaces
from attendant.tasks.patterns import is_unbounded, matching, patterns
from attendant.tasks.text import TextTokenizer

_PAGE = 20_000
"""Characters up to which a text is tokenised whatever is allowed."""


def load_tokenizer(bundle: Path) -> Tokenizer:
    """``tokenizer.json``, with padding and truncation turned off.

    Raises:
        BundleError: it is not usable.
    """
    path = bundle / TOKENIZER_FILE
    if path.is_file() and path.stat().st_size > MAX_TOKENIZER:
        raise BundleError(path, f"has {path.stat().st_size} bytes; allowed: at most {MAX_TOKENIZER}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except BaseException as error:  # the library raises bare Exception, and its panics are none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise BundleError(path, f"is not a tokenizer: {error}") from error
    for pattern in filter(is_unbounded, patterns(tokenizer)):
        why = "repeats what matches in several ways, which takes time without bounds"
        raise BundleError(path, f"has the pattern {pattern[:200]!r}, which {why}")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextCodec:
    """Text to token ids and back, for one model.

    Attributes:
        special_tokens: those that decoding can leave out, by id.
        added_tokens: ids of all that were added to the vocabulary, by their text; special ones among them.
        template_variables: special tokens by the names that templates have for them.
        cleans_up: whether decoded text loses the spaces before punctuation, see :mod:`attendant.models.spaces`.
        bytes_of: the bytes that a token adds to a text, see :class:`attendant.grammars.token_bytes.TokenBytes`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        templates: ChatTemplates | None,
        *,
        cleans_up: bool = False,
        template_variables: Mapping[str, str] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.cleans_up = cleans_up
        self.template_variables = template_variables or {}
        self._templates = templates
        added = tokenizer.get_added_tokens_decoder()
        self.special_tokens = {index: token.content for index, token in added.items() if token.special}
        self.added_tokens = {token.content: index for index, token in added.items()}
        self.decode_one = lru_cache(maxsize=65_536)(self._decode_one)
        self.bytes_of = lru_cache(maxsize=65_536)(TokenBytes(tokenizer).of)

    @classmethod
    def load(cls, bundle: Path, manifest: GeneratorManifest) -> TextCodec:
        """Read ``tokenizer.json`` and compile the chat templates.

        Raises:
            BundleError: the file or a chat template is not usable.
        """
        tokenizer = load_tokenizer(bundle)
        templates = load_templates(bundle, manifest, tokenizer)
        return cls(
            tokenizer,
            templates,
            cleans_up=manifest.clean_up_spaces,
            template_variables=_template_variables(manifest, tokenizer),
        )

    def tokenize(
        self, prompt: TextPrompt | ChatPrompt, limit: int | None = None, *, rendered: str | None = None
    ) -> Tokenized:
        """Token ids of a prompt.

        Args:
            limit: how many are allowed. A text that has far more is refused after a page of it: the tokens of sixty
                megabytes take minutes and gigabytes. One that has a few more is not.
            rendered: the text of the prompt, where it is known.

        Raises:
            InvalidRequest: a chat prompt for a model without a template, one that the template refuses, or a text that
                is far too long.
        """
        # a template writes every special token itself
        special = isinstance(prompt, TextPrompt) and prompt.add_special_tokens
        text = self.rendered(prompt) if rendered is None else rendered
        if limit is not None and len(text) > _PAGE:
            self._check_size("text" if isinstance(prompt, TextPrompt) else "chat", text, limit)
        with matching("text" if isinstance(prompt, TextPrompt) else "chat"):
            encoding = self.tokenizer.encode(text, add_special_tokens=special)
        return Tokenized(tuple(encoding.ids), tuple(encoding.tokens))

    def pieces(self, text: str, limit: int, *, special: bool = True) -> tuple[Piece, ...]:
        """The tokens of a text, and where they stand in it.

        Args:
            limit: as of :meth:`tokenize`. special: also those that stand around a text.

        Raises:
            InvalidRequest: the text is far too long.
        """
        if len(text) > _PAGE:
            self._check_size("text", text, limit)
        with matching("text"):
            found = self.tokenizer.encode(text, add_special_tokens=special)
        each = zip(found.ids, found.tokens, found.special_tokens_mask, found.offsets, strict=True)
        return tuple(Piece(number, token, bool(mask), start, end) for number, token, mask, (start, end) in each)

    def _check_size(self, field: str, text: str, limit: int) -> None:
        (head,) = TextTokenizer(self.tokenizer).tokenize([text], limit)
        if not head.complete:
            found = f"has more than {len(head)} tokens ({len(text)} characters)"
            raise ContextExceeded(field, f"{found}; allowed: at most {limit}")

    def rendered(self, prompt: TextPrompt | ChatPrompt) -> str:
        """The text that a prompt's tokens are made of: itself, or what the template makes of a conversation.

        Raises:
            InvalidRequest: as :meth:`tokenize`.
        """
        if isinstance(prompt, TextPrompt):
            return prompt.text
        if prompt.given_template:
            raise InvalidRequest("given_template", "is not possible in a call of this kind; allowed: none")
        return rendered_chat(choose(self._templates, prompt), prompt)

    def habits(self, chat: ChatPrompt) -> TemplateHabits:
        """What the template looks at that a conversation is rendered by.

        Raises:
            InvalidRequest: there is none, or none of this name.
        """
        return choose(self._templates, chat).habits

    def chat_facts(self) -> ChatFacts | None:
        """What the chat templates look at; None if there are none."""
        if self._templates is None:
            return None
        habits = [template.habits for template in self._templates.all]
        return ChatFacts(
            tools=any(each.tools for each in habits),
            documents=any(each.documents for each in habits),
            parts=any(each.parts for each in habits),
            variables=tuple(sorted({name for each in habits for name in each.variables})),
        )

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True, whole: bool = True) -> str:
        """Text of token ids; bytes that are no character become U+FFFD.

        Args:
            whole: these are all tokens of a text: where the model wants that, its spaces are cleaned up.
        """
        text: str = self.tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)
        return clean_spaces(text) if whole and self.cleans_up else text

    def shown_bytes_of(self, token_id: int) -> bytes:
        """The bytes that a token adds to a text without special tokens."""
        return b"" if token_id in self.special_tokens else self.bytes_of(token_id)

    def _decode_one(self, token_id: int) -> str:
        """Text of one token of a longer text. Kept: streams ask for the same ones over and over."""
        return self.decode((token_id,), whole=False)


def load_templates(bundle: Path, manifest: GeneratorManifest, tokenizer: Tokenizer) -> ChatTemplates | None:
    """The chat templates of a bundle; None if it has none.

    Raises:
        BundleError: one does not compile, or takes too much.
    """
    sources = manifest.templates()
    try:
        return ChatTemplates(sources, _template_variables(manifest, tokenizer)) if sources else None
    except TemplateBroken as error:
        name = "" if error.name == DEFAULT_TEMPLATE else f" {error.name!r}"
        raise BundleError(
            bundle, f"the chat template{name} {'cannot be used' if error.compiles else 'does not compile'}: {error}"
        ) from error


def _template_variables(manifest: GeneratorManifest, tokenizer: Tokenizer) -> Mapping[str, str]:
    """Special tokens by the names that templates have for them; of older bundles the two that nearly all know."""
    if manifest.template_variables is not None:
        return manifest.template_variables
    special = manifest.special_tokens
    return {
        "bos_token": (tokenizer.id_to_token(special.bos) if special.bos is not None else None) or "",
        "eos_token": (tokenizer.id_to_token(special.eos[0]) if special.eos else None) or "",
    }
