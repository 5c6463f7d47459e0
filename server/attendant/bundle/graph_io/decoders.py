"""The ports of graphs that generate: over slots, over pages, with a source or without, and of the graphs beside them.

A group is a dataclass with a field for each port. As ``SLOTS`` it holds what is declared, in a runner arrays, and in
the exporter the tensors of a trace. A graph leaves out the inputs that its model has no use for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from attendant.bundle.graph_io.port import Dim, Per, Port, Size, declared, port

T = TypeVar("T")

_HEADS: tuple[Dim, Dim] = (Size("num_kv_heads"), Size("head_size"))
VOCABULARY = Size("vocab_size")


@dataclass(frozen=True, slots=True)
class SlotInputs(Generic[T]):
    """A run over slots: tokens in rows of equal length, a row of the cache for each."""

    input_ids: T = port("int64", "batch", "sequence", means="the tokens")
    position_ids: T = port("int64", "batch", "sequence", means="their positions, or what else rotary tables go by")
    seqlens_k: T = port("int32", "rows", means="the valid length of each row after the run, minus one")
    total_sequence_length: T = port("int32", 1, means="the longest valid length after the run, or a bound of it")
    logits_index: T = port("int64", "num_logits", means="which of the flattened tokens want logits")


@dataclass(frozen=True, slots=True)
class RaggedInputs(Generic[T]):
    """What a graph takes besides whose rows may differ in length: then the tokens may lie in [1, num_tokens], and each
    row needs room in its cache for ``longest`` new positions."""

    query_seqlens: T = port(
        "int32", "rows", means="how many tokens of each row are new, 0 for an idle one, whose cache stays as it is"
    )
    pad_index: T = port(
        *("int64", "rows", "longest", 2),
        means="for each place of the view that attention works on, which token it shows, any one in the padding",
    )
    unpad_index: T = port("int64", "batch", "sequence", 2, means="the place of each token in that view")


@dataclass(frozen=True, slots=True)
class PositionInputs(Generic[T]):
    """What a graph over slots takes besides that adds a bias of relative positions to its scores."""

    kv_positions: T = port("int64", "total", means="0 to total_sequence_length - 1")


@dataclass(frozen=True, slots=True)
class SlotSourceInputs(Generic[T]):
    """What a graph takes besides that looks at sources in slots."""

    source_seqlens: T = port("int32", "rows", means="the length of each row's source, minus one")
    source_total: T = port("int32", 1, means="the length of the longest source")


@dataclass(frozen=True, slots=True)
class PageInputs(Generic[T]):
    """A run over pages: the tokens of all sequences in one row."""

    input_ids: T = port("int64", 1, "num_tokens", means="the tokens")
    position_ids: T = port("int64", 1, "num_tokens", means="their positions")
    cumulative_sequence_length: T = port(
        "int32", "num_sequences + 1", means="where the tokens of each sequence begin, and their number"
    )
    past_seqlens: T = port("int32", "num_sequences", means="how many positions of each sequence came before")
    block_table: T = port("int32", "num_sequences", "max_blocks", means="the blocks of each sequence, in order")
    slot_mapping: T = port(
        *("int32", "num_tokens"),
        means="block * block_size + offset where the keys and values of a token are written, or -1 for nowhere",
    )
    attention_metadata: T = port(
        *("int32", 3),
        means="bounds of the lengths: the most new tokens of a sequence, the most and the fewest positions of the "
        "longest after the run",
        on_host=True,
    )
    logits_index: T = port("int64", "num_logits", means="which tokens want logits")


@dataclass(frozen=True, slots=True)
class SamplingInputs(Generic[T]):
    """What a graph over pages takes besides: it draws a token for each row of logits."""

    inverse_temperature: T = port("float32", "num_logits", means="1 / temperature, 1 for greedy rows")
    uniform: T = port("float32", "num_logits", means="the number in [0, 1) that draws the token")


@dataclass(frozen=True, slots=True)
class PageSourceInputs(Generic[T]):
    """What a graph takes besides that looks at sources in pages. Each token is a sequence of its own there, the last
    position of its source."""

    source_bounds: T = port("int32", "num_tokens + 1", means="0, 1, 2 and so on")
    source_past_seqlens: T = port("int32", "num_tokens", means="the length of each token's source, minus one")
    source_block_table: T = port("int32", "num_tokens", "max_source_blocks", means="the blocks that it lies in")
    source_slot_mapping: T = port("int32", "num_tokens", means="-1 throughout: nothing is written")
    source_metadata: T = port(
        "int32", 3, means="1, and the most and the fewest positions of the longest source", on_host=True
    )


@dataclass(frozen=True, slots=True)
class CandidateOutputs(Generic[T]):
    """What a graph over pages gives besides its logits, so that these may stay on the device."""

    top_logits: T = port(
        *("float32", "num_logits", Size("num_candidates")),
        means="the largest logits, largest first; -3e38 stands for what is lower or no number",
    )
    top_ids: T = port("int64", "num_logits", Size("num_candidates"), means="their tokens; equal ones in any order")
    log_sum: T = port("float32", "num_logits", means="ln sum exp(logit)")
    scaled_log_sum: T = port("float32", "num_logits", means="ln sum exp(logit * inverse_temperature)")
    drawn_logit: T = port("float32", "num_logits", means="the logit of the drawn token")
    drawn: T = port(
        *("int64", "num_logits"),
        means="the first token at which the running sum of softmax(logit * inverse_temperature) exceeds uniform",
    )


@dataclass(frozen=True, slots=True)
class CopyInputs(Generic[T]):
    """The graph ``copy_blocks``: block target[i] of every cache becomes what block source[i] was before the run."""

    source: T = port("int64", "num_copies", means="the blocks to copy")
    target: T = port("int64", "num_copies", means="where to")


@dataclass(frozen=True, slots=True)
class PickInputs(Generic[T]):
    """The graph ``pick_rows``, which gives whole rows of logits to the host."""

    logits: T = port(None, "num_logits", VOCABULARY, means="of the decoder")
    rows: T = port("int64", "num_rows", means="which of their rows are wanted")


@dataclass(frozen=True, slots=True)
class KeysValues:
    """Keys and values, one of each for every attention call, or of one call."""

    key: Port
    value: Port

    def at(self, index: int) -> KeysValues:
        """Those of the ``index``-th call."""
        return KeysValues(self.key.at(index), self.value.at(index))

    def names(self, count: int) -> list[str]:
        """The names of the first ``count`` calls: key, value, key, value and so on."""
        return [port.name for index in range(count) for port in (self.key.at(index), self.value.at(index))]


@dataclass(frozen=True, slots=True)
class CachePorts:
    """A cache that comes in and goes out, to be bound to the same memory."""

    past: KeysValues
    present: KeysValues

    def names(self, count: int) -> list[tuple[str, str]]:
        """What comes in and what goes out, of the first ``count`` calls: key, value, key, value and so on."""
        return list(zip(self.past.names(count), self.present.names(count), strict=True))


def _keys_values(name: str, per: Per, dims: tuple[Dim, ...], means: str) -> KeysValues:
    key, value = (Port(f"{name}_{kind}_{{i}}", None, dims, f"{kind}s {means}", per=per) for kind in ("key", "value"))
    return KeysValues(key, value)


def _cache(per: Per, dims: tuple[Dim, ...], before: str, after: str, means: str) -> CachePorts:
    present = "after the run" if per == "layer" else "of sources, unchanged"
    return CachePorts(_keys_values(before, per, dims, means), _keys_values(after, per, dims, present))


_SLOT: tuple[Dim, ...] = ("rows", _HEADS[0], "max_length", _HEADS[1])
_SOURCE_SLOT: tuple[Dim, ...] = ("rows", _HEADS[0], "max_source", _HEADS[1])
_PAGE: tuple[Dim, ...] = ("num_blocks", "block_size", *_HEADS)
_SOURCE_PAGE: tuple[Dim, ...] = ("num_source_blocks", "block_size", *_HEADS)
_OF_SOURCES = "of sources, as the encoder made them"

SLOTS: SlotInputs[Port] = declared(SlotInputs)
RAGGED: RaggedInputs[Port] = declared(RaggedInputs)
POSITIONS: PositionInputs[Port] = declared(PositionInputs)
SLOT_SOURCES: SlotSourceInputs[Port] = declared(SlotSourceInputs)
SLOT_CACHE = _cache("layer", _SLOT, "past", "present", "before the run")
SLOT_SOURCE_CACHE = _cache("cross_layer", _SOURCE_SLOT, "cross", "present_cross", _OF_SOURCES)

PAGES: PageInputs[Port] = declared(PageInputs)
SAMPLING: SamplingInputs[Port] = declared(SamplingInputs)
PAGE_SOURCES: PageSourceInputs[Port] = declared(PageSourceInputs)
PAGE_CACHE = _cache("layer", _PAGE, "past", "present", "before the run")
PAGE_SOURCE_CACHE = _cache("cross_layer", _SOURCE_PAGE, "cross", "present_cross", _OF_SOURCES)

LOGITS = Port("logits", None, ("num_logits", VOCABULARY), "of the tokens that want them")
SLOT_LOGITS = replace(LOGITS, dtype="float32")
CANDIDATES: CandidateOutputs[Port] = declared(CandidateOutputs)

COPYING: CopyInputs[Port] = declared(CopyInputs)
COPY_FROM = Port("cache_{i}", "int64", ("num_blocks", "words_{i}"), "a cache, read as whole words", per="cache")
COPY_TO = Port("copied_{i}", "int64", ("num_blocks", "words_{i}"), "the same memory after the copies", per="cache")
PICKING: PickInputs[Port] = declared(PickInputs)
PICKED = Port("picked", "float32", ("num_rows", VOCABULARY), "the rows that were wanted")

SLOT_ENCODED = _keys_values(
    "cross", "cross_layer", (_HEADS[0], "num_tokens", _HEADS[1]), "that the decoder makes of all sources"
)
PAGE_ENCODED = _keys_values("cross", "cross_layer", ("num_tokens", *_HEADS), "that the decoder makes of all sources")
