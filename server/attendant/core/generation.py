"""A generation call as the front end receives it, and the pieces of its answer. Free of transport words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attendant.core.beams import EarlyStopping
from attendant.core.chat import ChatPrompt, ToolCallDelta, ToolChoice
from attendant.core.events import TokenLogprob
from attendant.core.grammar import Grammar
from attendant.core.receipt import Receipt
from attendant.core.request import FinishReason, Timings, Usage
from attendant.core.source import Source


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Plain text; ``add_special_tokens`` lets the tokenizer add its own (a leading BOS, for example)."""

    text: str
    add_special_tokens: bool = True


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids, used as they are."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SourcePrompt:
    """What an encoder-decoder reads, ready to run, and the tokens that its decoder continues."""

    source: Source
    prefix: tuple[int, ...]


Prompt = TextPrompt | TokenPrompt | ChatPrompt | SourcePrompt


@dataclass(frozen=True, slots=True)
class BeamCall:
    """Beam search as a call asks for it; see :class:`attendant.core.beams.BeamParams`. None: the model's default."""

    num_beams: int
    length_penalty: float | None = None
    early_stopping: EarlyStopping | None = None
    renormalize: bool | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """Language codes; empty for the model's default."""

    source_language: str = ""
    target_language: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """An answer that goes on: the tokens that came of it, and which of the call's ``n`` sequences it is."""

    token_ids: tuple[int, ...]
    index: int = 0


@dataclass(frozen=True, slots=True)
class GenerationCall:
    """One call. ``None`` for a sampling or stopping value means the model's own default.

    Fields have the meaning that :class:`attendant.core.sampling.SamplingParams` documents, and besides:

    Attributes:
        model: name of the model; empty for the only one that continues prompts (or that generates, if none does), or
            if ``translation`` is given, that reads a source.
        stop: strings that end a sequence; they are not part of the text.
        n: how many sequences to generate from the prompt, told apart by ``index`` in the answer; with beam search, how
            many of the best hypotheses to return.
        beam_search: None for the model's default.
        translation: for models that read a source; without codes, or None, their defaults.
        whole: deliver each sequence in one delta at its end.
        suppress_tokens: tokens that never occur. begin_suppress_tokens: that the answer does not begin with.
        bad_phrases: texts whose tokens never occur, be they at a begin or after a space; besides the bad words.
        bad_words: sequences of tokens that never occur. sequence_bias: sequences and what is added to the logit of
            their last token.
        forced_first: no token or one, which the answer to a prompt of one token begins with. forced_last: no token or
            one, which an answer of the greatest length ends with.
        length_decay: start and factor, as :class:`~attendant.core.sampling.LengthDecay` has them.
        no_default_settings: what the call leaves out is off, whatever the model's defaults say.
        keep_special_tokens: the text has special tokens, too, all but the one that ends it.
        forced_answer: the tokens of the answer, whatever the model would choose; nothing else may say how it chooses or
            ends.
        receipt: give a receipt with the end of each sequence.
        grammar: what the text of the answer has to be like, after the reasoning if it has some; None: anything.
        tool_choice: which of the prompt's tools the answer calls; None: as the model sees fit.
        separate: reasoning and tool calls are told apart from the text, each in a field of its own. None: where the
            prompt has tools.
        tool_format, reasoning_format: names of formats, in place of the model's own; empty for that.
        resume: go on with an answer that has begun, elsewhere perhaps, by the same call and with the same seed.
    """

    model: str
    prompt: Prompt
    max_tokens: int | None = None
    min_tokens: int = 0
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    ignore_eos: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] | None = None
    seed: int | None = None
    n: int = 1
    logprobs: int | None = None
    no_repeat_ngram_size: int | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    top_h: float | None = None
    encoder_no_repeat_ngram_size: int | None = None
    encoder_repetition_penalty: float | None = None
    suppress_tokens: tuple[int, ...] | None = None
    begin_suppress_tokens: tuple[int, ...] | None = None
    bad_phrases: tuple[str, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] | None = None
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = None
    forced_first: tuple[int, ...] | None = None
    forced_last: tuple[int, ...] | None = None
    length_decay: tuple[int, float] | None = None
    no_default_settings: bool = False
    beam_search: BeamCall | None = None
    translation: Translation | None = None
    whole: bool = False
    keep_special_tokens: bool = False
    forced_answer: tuple[int, ...] | None = None
    receipt: bool = False
    grammar: Grammar | None = None
    tool_choice: ToolChoice | None = None
    separate: bool | None = None
    tool_format: str = ""
    reasoning_format: str = ""
    resume: Resume | None = None


def unspelled(token_id: int) -> str:
    """A token of a model whose words nobody knows."""
    return f"<{token_id}>"


def unspelled_bytes(token_id: int) -> bytes:
    """The same, as bytes."""
    return unspelled(token_id).encode()


@dataclass(frozen=True, slots=True)
class Delta:
    """New text and tokens of sequence ``index``. ``text`` may be empty while a character or a possible stop string is
    incomplete; ``token_ids`` are all tokens since the last delta. ``prompt_tokens``: as the usage at the end says.
    ``spell``: decodes one token of the call's model alone, whatever has become of the model since. ``spell_bytes``: the
    bytes that a token adds to the text, be they a part of a character; none of a special one that the text is without.
    ``reasoning`` and ``tool_calls``, where they are told apart: new text that is thought, not said, and new pieces of
    tool calls; reasoning comes before text, and text before calls."""

    index: int
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt_tokens: int = field(default=0, compare=False)
    spell: Callable[[int], str] = field(default=unspelled, compare=False, repr=False)
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    spell_bytes: Callable[[int], bytes] = field(default=unspelled_bytes, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of sequence ``index``; exactly one for each sequence of a call that succeeds. ``receipt``: where the call
    asks for it. ``num_tool_calls``: that were told apart. ``unparsed``: something of the text looks like a tool call,
    and is none that can be read. ``num_reasoning_tokens``: from the first that was thought on, up to
    the first that was said or called."""

    index: int
    reason: FinishReason
    usage: Usage
    timings: Timings
    stop_string: str | None = None
    stop_token_id: int | None = None
    receipt: Receipt | None = None
    num_tool_calls: int = 0
    unparsed: bool = False
    num_reasoning_tokens: int = 0


GenerationPart = Delta | Finish
