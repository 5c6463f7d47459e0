"""Every field of generation_config.json, and whether it is honoured, named in a warning, or changes no answer.

docs/settings-of-checkpoints.md has this table, and a test that it is complete and the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Treatment = Literal["honoured", "warned", "no effect"]


@dataclass(frozen=True)
class Setting:
    """A field, what is done about it, and how, in words; ``off`` are values that mean the same as none.

    ``request``: where a request sets it: the field's path in ``GenerateRequest``.
    """

    name: str
    treatment: Treatment
    words: str
    request: str = ""
    off: tuple[object, ...] = ()


def _honoured(name: str, request: str, words: str = "as `generate` does") -> Setting:
    return Setting(name, "honoured", words, request)


def _warned(name: str, words: str, *off: object, request: str = "") -> Setting:
    return Setting(name, "warned", words, request, off)


def _without_effect(*names: str, words: str) -> tuple[Setting, ...]:
    return tuple(Setting(name, "no effect", words) for name in names)


SETTINGS: tuple[Setting, ...] = (
    _honoured("max_length", "stopping.max_tokens", "prompt and answer together; a prompt that fills it is refused"),
    _honoured("max_new_tokens", "stopping.max_tokens", "goes before max_length"),
    _honoured("min_length", "stopping.min_tokens", "prompt and answer together"),
    _honoured("min_new_tokens", "stopping.min_tokens", "goes before min_length"),
    _honoured("stop_strings", "stopping.stop", "ends the answer; the string itself is left out of the text"),
    _honoured("do_sample", "sampling.temperature", "without it, temperature is 0 (greedy) unless a request says more"),
    _honoured("temperature", "sampling.temperature", "where do_sample is on"),
    _honoured("top_k", "sampling.top_k", "50 where it is missing, in requests that sample"),
    _honoured("top_p", "sampling.top_p"),
    _honoured("min_p", "sampling.min_p"),
    _honoured("top_h", "sampling.top_h"),
    _honoured("typical_p", "sampling.typical_p"),
    _honoured("epsilon_cutoff", "sampling.epsilon_cutoff"),
    _honoured("eta_cutoff", "sampling.eta_cutoff"),
    _honoured("repetition_penalty", "sampling.repetition_penalty"),
    _honoured("encoder_repetition_penalty", "sampling.encoder_repetition_penalty"),
    _honoured("no_repeat_ngram_size", "sampling.no_repeat_ngram_size"),
    _honoured("encoder_no_repeat_ngram_size", "sampling.encoder_no_repeat_ngram_size"),
    _honoured("bad_words_ids", "sampling.bad_words"),
    _honoured("sequence_bias", "sampling.sequence_bias"),
    _honoured("suppress_tokens", "sampling.suppress_tokens"),
    _honoured("begin_suppress_tokens", "sampling.begin_suppress_tokens"),
    _honoured("forced_bos_token_id", "sampling.forced_first", "of a decoder, after a prompt of one token"),
    _honoured("forced_eos_token_id", "sampling.forced_last", "of several tokens the lowest id"),
    _honoured("exponential_decay_length_penalty", "sampling.length_decay"),
    _honoured("num_beams", "beam_search.num_beams", "in requests that do not sample"),
    _honoured("length_penalty", "beam_search.length_penalty"),
    _honoured("early_stopping", "beam_search.early_stopping"),
    _honoured("renormalize_logits", "beam_search.renormalize", "matters with beam search alone"),
    _honoured("eos_token_id", "stopping.stop_token_ids", "one or several"),
    _honoured("bos_token_id", "no_special_tokens"),
    _honoured("pad_token_id", "", "nothing is padded; shown in the manifest"),
    _honoured("decoder_start_token_id", "", "of encoder-decoders"),
    _warned("guidance_scale", "answers come without guidance by a second prompt", 1, 1.0),
    _warned("watermarking_config", "answers have no watermark"),
    _warned("token_healing", "a prompt's last token is taken as it is", False),
    _warned("max_time", "answers end by the deadline of a call alone"),
    _warned("num_return_sequences", "a call gets as many answers as it asks for", 0, 1, request="n"),
    _warned("remove_invalid_values", "an answer whose logits are no finite numbers fails", False),
    _warned("penalty_alpha", "there is no contrastive search: answers are greedy or sampled", 0, 0.0),
    _warned("dola_layers", "there is no decoding by contrasting layers"),
    _warned("num_beam_groups", "beams form one group", 0, 1),
    _warned("diversity_penalty", "beams form one group", 0, 0.0),
    _warned("constraints", "there are no constraints on what an answer holds"),
    _warned("force_words_ids", "there are no words that an answer has to hold"),
    _warned("forced_decoder_ids", "how an answer begins follows from language and task alone"),
    _warned("assistant_ensemble_weight", "there is no assistant model"),
    *_without_effect(
        *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size", "low_memory"),
        *("compile_config", "disable_compile", "continuous_batching_config"),
        words="how `generate` computes; answers do not depend on it",
    ),
    *_without_effect(
        *("use_mtp", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "speculation_type"),
        *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind"),
        *("prompt_lookup_num_tokens", "max_matching_ngram_size"),
        words="speculation, which changes the speed of `generate` and not its answers",
    ),
    *_without_effect(
        *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
        words="what `generate` returns besides the answer",
    ),
    *_without_effect("transformers_version", "_from_model_config", words="about the file itself"),
    *(
        Setting(name, "honoured", "of Whisper: as the service Speech has it")
        for name in (
            *("is_multilingual", "lang_to_id", "task_to_id", "no_timestamps_token_id", "prev_sot_token_id"),
            *("max_initial_timestamp_index", "alignment_heads", "return_timestamps", "language", "task"),
            *("median_filter_width", "no_speech_threshold"),
        )
    ),
)
"""All fields of transformers' GenerationConfig, and those that its models add to it."""


def markdown() -> Iterator[str]:
    """The table of the documentation, in lines."""
    yield "| field | | how | in a request |"
    yield "|---|---|---|---|"
    for each in SETTINGS:
        request = f"`{each.request}`" if each.request else ""
        yield f"| `{each.name}` | {each.treatment} | {each.words} | {request} |"
