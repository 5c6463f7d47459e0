"""The manifest of models that generate: their KV cache, their special tokens, and what their graphs take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attendant.bundle.capabilities import Capability
from attendant.bundle.defaults import GenerationDefaults
from attendant.bundle.manifest import DType, ManifestBase, Section, element_size
from attendant.bundle.sources import AnswerRules, AudioSource, Languages, Speech, TextSource
from attendant.bundle.templates import DEFAULT_TEMPLATE
from attendant.core.frequencies import Kind

Task = Literal["generate"]
CacheLayout = Literal["slots", "pages"]

PAGED_RUN_TOKENS = 16_384
"""Most tokens of a run that every graph with a KV cache in pages takes, however short its context."""


class KVLayer(Section):
    """The KV cache of one attention call, in call order: input ``past_key_{i}`` and output ``present_key_{i}``, each
    [batch, num_kv_heads, max_length, head_size] in slots, [num_blocks, block_size, num_kv_heads, head_size] in pages.
    ``window``: how many of the latest positions it reads, or None."""

    num_kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    dtype: DType
    window: int | None = None

    @property
    def head_bytes(self) -> int:
        """Bytes of one head's key (or value) at one position."""
        return self.head_size * element_size(self.dtype)


class ChangingFrequencies(Section):
    """Of rotary embeddings that change with the length of a sequence, beyond ``after`` tokens; the graph takes
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
    punctuation and English contractions.

    A ``generate`` bundle with its cache in slots has the graph ``decoder`` with inputs (those it does not need are left
    out):
    input_ids [batch, sequence] int64; position_ids [batch, sequence] int64; seqlens_k [batch] int32, the valid length
    of each row after this run minus one; total_sequence_length [1] int32, the longest valid length after this run;
    logits_index [num_logits] int64, which rows of the flattened [batch * sequence] tokens want logits;
    past_key_{i}, past_value_{i} as :class:`KVLayer`. Outputs: logits [num_logits, vocab_size] float32;
    present_key_{i}, present_value_{i}, to be bound to the same memory as the pasts. Where it has the graph ``prompt``,
    of the same inputs and outputs, that one computes the chunks of prompts, and ``decoder`` what is generated.

    The graph that computes chunks may take three inputs besides, and then runs rows of different lengths: query_seqlens
    [rows] int32, how many tokens of each row are new, 0 for an idle one, whose cache stays as it is; pad_index [rows,
    longest, 2] int64, for each place of the view [rows, longest] that attention works on, which token [batch, sequence]
    it shows, any one in the padding; unpad_index [batch, sequence, 2] int64, the place of each token in that view.
    ``rows`` is then the first size of seqlens_k and of the caches, while the tokens may lie in [1, num_tokens].
    total_sequence_length is a bound, and each row needs room for ``longest`` new positions in its cache.

    With its cache in pages, ``decoder`` runs the tokens of all sequences in one row, [1, num_tokens]. Its inputs (those
    it does not need are left out): input_ids, position_ids [1, num_tokens] int64; cumulative_sequence_length
    [num_sequences + 1] int32, where each sequence's tokens begin, and their number; past_seqlens [num_sequences] int32;
    block_table [num_sequences, max_blocks] int32; slot_mapping [num_tokens] int32, block * block_size + offset that a
    token's keys and values are written to, or -1; attention_metadata [3] int32 in host memory, an upper bound of the
    new tokens of a sequence, an upper and a lower bound of the longest length after the run; logits_index [num_logits]
    int64; inverse_temperature, uniform [num_logits] float32; the pasts. Outputs: logits [num_logits, vocab_size] of the
    model's type, meant to stay on the device; top_logits [num_logits, K] float32 and top_ids [num_logits, K] int64, the
    largest; log_sum, scaled_log_sum [num_logits] float32; drawn [num_logits] int64 and drawn_logit [num_logits]
    float32; the presents, as above. The graph ``copy_blocks`` copies whole blocks: source, target [num_copies] int64,
    and for each of the pasts, in order, cache_{i} [num_blocks, words] int64, a view of the same memory, to
    copied_{i}, bound to it, too. ``pick_rows`` gives rows [num_rows] int64 of the logits as picked [num_rows,
    vocab_size] float32.

    An encoder-decoder has ``encoder_input``, and a graph ``encoder`` besides, which takes the rows described there and
    gives for each cross-attention call i of the decoder, of heads as ``cross_layers[i]`` says, cross_key_{i} and
    cross_value_{i} [num_kv_heads, num_tokens, head_size]: the tokens of all rows one after another (``packed``), or
    each row's up to the longest (``padded``; audio: ``max_length`` of each). With slots, its ``decoder`` takes besides
    what is said above cross_key_{i}, cross_value_{i} [batch, num_kv_heads, max_source, head_size], of which row b has
    the first source_seqlens[b] + 1 positions; source_seqlens [batch] int32; source_total [1] int32, the largest of them
    plus one; and, for relative positions, kv_positions [total] int64, 0..total_sequence_length - 1. It gives
    present_cross_key_{i}, present_cross_value_{i}, unchanged, to be bound to the same memory.

    With pages, its ``encoder`` gives cross_key_{i} and cross_value_{i} [num_tokens, num_kv_heads, head_size] of the
    layer's type, as blocks have them, and its ``decoder`` takes cross_key_{i}, cross_value_{i} [num_source_blocks,
    block_size, num_kv_heads, head_size]. There each token is a sequence of its own, the last position of its source:
    source_bounds [num_tokens + 1] int32, 0, 1, 2 and so on; source_past_seqlens [num_tokens] int32, the length of each
    token's source minus one; source_block_table [num_tokens, max_source_blocks] int32, the blocks it lies in;
    source_slot_mapping [num_tokens] int32, all -1: nothing is written; source_metadata [3] int32 in host memory, 1, an
    upper and a lower bound of the longest source. It gives present_cross_key_{i}, present_cross_value_{i}, as above.
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
    clean_up_spaces: bool = False
    encoder_input: Annotated[TextSource | AudioSource, Field(discriminator="kind")] | None = None
    cross_layers: tuple[KVLayer, ...] = ()
    answer: AnswerRules | None = None
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
