"""The manifest of models that generate: their KV cache, their special tokens, and what their graphs take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attendant.bundle.answer_formats import formats_of
from attendant.bundle.capabilities import Capability
from attendant.bundle.defaults import GenerationDefaults
from attendant.bundle.manifest import DType, ManifestBase, element_size
from attendant.bundle.section import Section
from attendant.bundle.sources import AudioSource, Languages, Seq2SeqRules, Speech, TextSource
from attendant.bundle.templates import DEFAULT_TEMPLATE
from attendant.core.answer_formats import AnswerFormats
from attendant.core.frequencies import Kind

Task = Literal["generate"]
CacheLayout = Literal["slots", "pages"]

PAGED_RUN_TOKENS = 16_384
"""Most tokens of a run that every graph with a KV cache in pages takes, however short its context."""


class KVLayer(Section):
    """The KV cache of one attention call, in call order: keys and values, each [rows, num_kv_heads, max_length,
    head_size] in slots, [num_blocks, block_size, num_kv_heads, head_size] in pages. ``window``: how many of the latest
    positions it reads, or None."""

    num_kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    dtype: DType
    window: int | None = None

    @property
    def head_bytes(self) -> int:
        """Bytes of one head's key (or value) at one position."""
        return self.head_size * element_size(self.dtype)


class ChangingFrequencies(Section):
    """Rotary embeddings that change with the length of a sequence, beyond ``after`` tokens; the graph takes
    position_ids as :class:`attendant.core.frequencies.Frequencies` has them. With the cache in slots only."""

    kind: Kind
    after: int = Field(ge=1)


class SpecialTokens(Section):
    """Token ids. Any of ``eos`` ends a generation."""

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None


class GeneratorManifest(ManifestBase):
    """The content of ``bundle.json`` of a model that generates.

    ``chat_template`` is the template of conversations that name none, ``chat_templates`` the others by name (see
    :class:`attendant.bundle.ChatTemplates`); ``template_variables`` what they see beside the conversation: the
    tokenizer's special tokens by name, e.g. ``bos_token``. Bundles of older exporters leave it out: there ``bos_token``
    and ``eos_token`` are the first of ``special_tokens``. ``clean_up_spaces``: decoded text loses the spaces before
    punctuation and English contractions. ``tool_format``, ``reasoning_format``: how the model writes tool calls and
    reasoning, see :attr:`formats`; None: as its templates have it.

    The graph ``decoder`` computes steps over its cache, in slots or in pages; where there is a graph ``prompt``, of the
    same inputs and outputs, that one computes the chunks of prompts, and ``decoder`` what is generated. With pages
    there are ``copy_blocks`` and ``pick_rows`` besides. An encoder-decoder has ``encoder_input``, and a graph
    ``encoder``, which takes the rows described there and gives keys and values for each cross-attention call of the
    decoder, of heads as ``cross_layers`` says: the tokens of all rows one after another (``packed``), or each row's up
    to the longest (``padded``; audio: ``max_length`` of each). :mod:`attendant.bundle.graph_io` declares what all of
    them take and give.
    """

    task: Task
    cache_layout: CacheLayout = "slots"
    kv_layers: tuple[KVLayer, ...]
    context_length: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    special_tokens: SpecialTokens
    generation_defaults: GenerationDefaults = GenerationDefaults()
    chat_template: str | None = None
    chat_templates: Mapping[str, str] = Field(default_factory=dict)
    template_variables: Mapping[str, str] | None = None
    tool_format: str | None = None
    reasoning_format: str | None = None
    clean_up_spaces: bool = False
    encoder_input: Annotated[TextSource | AudioSource, Field(discriminator="kind")] | None = None
    cross_layers: tuple[KVLayer, ...] = ()
    answer: Seq2SeqRules | None = None
    languages: Languages | None = None
    speech: Speech | None = None
    frequencies: ChangingFrequencies | None = None

    @cached_property
    def settings(self) -> GenerationDefaults:
        """``generation_defaults`` with what ``answer`` says besides of tokens that may and have to occur."""
        defaults, answer = self.generation_defaults, self.answer
        if answer is None:
            return defaults
        return defaults.replaced(
            suppress_tokens=(*answer.suppressed, *defaults.suppress_tokens),
            begin_suppress_tokens=(*answer.suppressed_first, *defaults.begin_suppress_tokens),
            forced_last=answer.forced_last if defaults.forced_last is None else defaults.forced_last,
        )

    @property
    def own_capabilities(self) -> tuple[Capability, ...]:
        """``generate``, and what it does with what it is sent."""
        if self.encoder_input is None:
            return ("generate", "continue")
        if isinstance(self.encoder_input, TextSource):
            return ("generate", "translate")
        return ("generate",) if self.speech is None else ("generate", "speech")

    @property
    def formats(self) -> AnswerFormats:
        """How the model writes tool calls and reasoning: as the manifest says, or as its templates have it."""
        return formats_of(self.templates(), self.tool_format, self.reasoning_format)

    @model_validator(mode="after")
    def _has_known_formats(self) -> Self:
        _ = self.formats  # raises for a name that is none
        return self

    @model_validator(mode="after")
    def _has_a_runner(self) -> Self:
        if self.target == "cuda" and self.cache_layout != "pages":
            raise ValueError("target cuda has its KV cache in pages, not in slots: export the model again")
        return self

    @model_validator(mode="after")
    def _has_all_of_a_source(self) -> Self:
        if self.encoder_input is not None and (
            self.answer is None or not self.cross_layers or "encoder" not in self.graphs
        ):
            raise ValueError(
                "a model with the section encoder_input needs answer, cross_layers and the graph encoder, too"
            )
        if self.speech is not None and not isinstance(self.encoder_input, AudioSource):
            raise ValueError("the section speech needs an encoder_input of kind audio")
        return self

    def templates(self) -> dict[str, str]:
        """Sources of all chat templates by name; the default one, if there is one, as ``default``."""
        default = {} if self.chat_template is None else {DEFAULT_TEMPLATE: self.chat_template}
        return {**self.chat_templates, **default}

    def kv_bytes_per_token(self) -> int:
        """Bytes of KV cache that one position of one sequence takes over all layers."""
        return sum(2 * layer.num_kv_heads * layer.head_bytes for layer in self.kv_layers)

    def source_bytes_per_token(self) -> int:
        """Bytes that one position of one source takes over all cross-attention calls."""
        return sum(2 * layer.num_kv_heads * layer.head_bytes for layer in self.cross_layers)
