"""Which of many of a kind `make test` runs. The others, and what takes minutes, are nightly: `make nightly` runs all.

A broken exporter is to be seen by day: of each kind of attention, of task and of number format one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DAILY: Mapping[str, Iterable[str]] = {
    "docs/test_clients.py::test_answers_are_whole_although_a_server_dies": ("blocking",),
    "export/multimodal/test_answers.py::test_a_bundle_answers_as_the_whole_does": ("mllama",),
    "export/multimodal/test_text_half.py::test_it_answers_texts_as_the_whole_does": (
        *("llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "internvl", "paligemma", "gemma3"),
        *("phi4_multimodal", "gemma3n", "mllama", "chameleon"),
    ),
    "export/test_architectures.py::test_graph_gives_the_models_logits": (
        *("gpt2", "llama", "gemma2", "mixtral", "deepseek_v3", "bloom", "gpt_oss"),
    ),
    "export/test_attention.py::test_an_encoder_decoder_gives_all_three_kinds": ("t5", "whisper"),
    "export/test_attention.py::test_an_encoder_of_text_gives_it": ("bert-auto", "deberta_v2-eager"),
    "export/test_attention.py::test_windows_caps_and_sinks_of_decoders_are_in_it": ("gemma2",),
    "export/test_audio.py::test_a_bundle_hears_what_torch_hears": ("wav2vec2",),
    "export/test_encoders.py::test_rows_run_together_as_documented": (
        *("bert-embed", "bert-classify", "bert-classify_tokens", "bert-answer", "bert-fill_mask"),
        *("deberta_v2-classify", "modernbert-embed", "t5-embed", "esm-fill_mask", "xlm_roberta-answer"),
    ),
    "export/test_encoders.py::test_graph_gives_the_models_outputs": (
        *("bert-embed", "bert-answer", "bert-fill_mask", "deberta_v2-classify", "esm-classify_tokens"),
    ),
    "export/test_sounds.py::test_recordings_run_together_as_documented": (
        "wav2vec2-classify_audio",
        "ast-classify_audio",
    ),
    "export/test_sounds.py::test_a_bundle_hears_what_transformers_hears": ("0.2-wav2vec2", "1.3-ast"),
    "export/test_vision.py::test_images_run_together_as_documented": (
        *("dinov3_vit-embed_image", "clip-classify_image", "swin-classify_image"),
    ),
    "export/test_fidelity.py::test_random_models_of_other_families_are_not_trained": ("gpt2",),
    "export/gguf/test_as_stored.py::test_a_bundle_has_the_blocks_of_its_file": ("llama",),
    "export/quantised/test_as_stored.py::test_a_graph_in_the_checkpoints_blocks_is_the_plain_model": ("gptq", "bytes"),
    "export/quantised/test_as_stored.py::test_they_are_kept_by_default": ("4",),
    "export/test_one_space.py::test_both_towers_give_the_models_own_vectors": ("clip",),
    "export/test_hosts.py::test_no_attention_of_a_model_scales": ("llama", "gemma2"),
    "export/test_invariance.py::test_results_do_not_depend_on_the_batch": ("llama/tied", "gpt2"),
    "export/test_paged_architectures.py::test_a_graph_in_fp16_gives_the_models_logits": ("gemma2", "bloom"),
    "export/test_paged_architectures.py::test_wide_heads_give_the_models_logits": ("96",),
    "export/test_paged_architectures.py::test_other_types_give_the_models_logits": (
        *("mistral-fp16-fp8", "bloom-bf16-model"),
    ),
    "export/test_paged_architectures.py::test_weights_in_4_bits_give_what_torch_gives_with_such_weights": ("llama",),
    "export/test_quantise.py::test_every_weight_is_quantised": ("gpt2", "llama/tied"),
    "export/test_seq2seq.py::test_family_answers_as_documented": ("t5", "marian", "whisper"),
    "export/test_seq2seq.py::test_int8_is_near_the_model": ("bart",),
    "export/test_seq2seq.py::test_relative_positions_have_no_place_in_pages": ("t5",),
    "export/test_special_rows.py::test_every_family_that_reads_its_answer_at_the_end_does_so_row_by_row": (
        *("Bart", "T5"),
    ),
    "export/test_verify.py::test_a_broken_graph_is_refused_and_nothing_is_written": (
        *("cpu-fp32-_scale_a_weight", "cpu-fp32-_narrow_the_window", "cpu-fp32-_forget_rotation"),
        *("cpu-int8-_scale_a_weight", "cuda-fp16-_scale_a_weight"),
    ),
    "export/test_vision.py::test_a_bundle_computes_what_torch_computes": ("vit", "clip"),
    "export/test_wanted_rows.py::test_products_after_the_last_attention_are_of_chosen_rows": ("llama",),
    "real/test_answers.py::test_minilm_finds_the_nearest_sentence": ("int8",),
    "test_changing_frequencies.py::test_answers_within_across_and_beyond_the_trained_length": ("phi3",),
    "test_changing_frequencies.py::test_beams_cross_the_trained_length": ("phi3",),
    "test_changing_frequencies.py::test_scarce_memory_changes_nothing": ("phi3",),
    "test_changing_frequencies.py::test_the_context_is_the_extended_one": ("phi3",),
    "test_isolation.py::test_every_answer_equals_the_answer_alone": ("synthetic", "int8", "mixed"),
    "test_page_isolation.py::test_every_answer_is_the_answer_alone": ("4",),
    "test_seq2seq.py::test_family": ("t5", "whisper"),
    "test_seq2seq_pages.py::test_answers_equal_those_of_generate": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_scarce_memory_changes_nothing": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_log_probabilities_do_not_depend_on_others": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_a_prompt_longer_than_its_source": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_a_source_beyond_the_limit_is_refused": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_what_was_computed_for_one_source_serves_no_other": ("marian", "whisper"),
    "test_seq2seq_pages.py::test_the_manifest_tells_of_pages": ("marian", "whisper"),
    "told/test_told_everywhere.py::test_no_path_that_is_sent_is_looked_at_and_no_address_called": ("in turn",),
}
"""Of these functions, only tests with these parameters are daily."""

NIGHTLY = (
    "deploy/test_locust.py::test_a_master_and_its_workers",
    "docs/test_commands.py::test_export_and_serve",
    "docs/test_commands.py::test_make_run_in_a_fresh_clone",
    "docs/test_commands.py::test_transcribe",
    "export/test_accuracy.py::test_quantised_weights_add_little_to_the_loss",
    "export/test_attention.py::test_a_graph_of_its_own_reads_a_source_and_an_answer",
    "export/test_attention.py::test_a_graph_of_its_own_reads_a_whole_prompt",
    "export/test_memory.py::test_a_float32_export_needs_the_libraries_and_twice_the_weights",
    "export/test_sentence_transformers.py::test_real_model_says_how_its_vectors_are_made",
    "export/test_sentence_transformers.py::test_real_embeddings_are_near_torch",
    "export/test_sentence_transformers.py::test_apple_and_apple_are_as_far_apart_as_in_torch",
    "export/test_sentence_transformers.py::test_real_rows_do_not_depend_on_their_batch",
    "export_demo/test_shapes.py::test_the_build_makes_model_bundle_and_report",
    "fuzz/test_fuzz.py::test_nothing_that_the_openapi_page_describes_is_a_fault_of_the_servers",
    "fuzz/test_fuzz.py::test_what_reads_bytes_of_strangers_is_led_into_all_its_branches",
    "loadtest/test_distributed.py::test_a_master_and_two_workers",
    "loadtest/test_every_call.py::test_recordings_are_heard",
    "loadtest/test_fairness.py::test_it_tells_how_long_light_clients_wait_and_what_each_gets",
    "loadtest/test_gpu_kit.py",
    "loadtest/test_overload.py::test_the_tool_measures_offers_and_draws",
    "real/test_clients.py::test_spoken_words_come_back_as_text",
    "real/test_real_attention.py",
    "real/test_explain.py",
    "real/test_openai.py",
    "real/test_real_isolation.py",
    "real/test_real_words.py",
    "real/test_tools.py",
    "real/test_settings.py",
    "real/test_speech_text.py",
    "system/test_engine_process.py::test_a_crash_ends_the_requests_of_its_engine_and_nothing_else",
    "system/test_faults.py::test_memory_that_does_not_reach",
    "system/test_many_changes.py",
    "real/test_answers.py::test_smollm2_knows_the_capital_of_france",
    "soak/test_soak.py::test_every_answer_under_load_is_the_one_alone",
    "soak/test_soak.py::test_ten_minutes",
    "strangers/test_aiperf.py::test_it_takes_our_bodies_at_our_moments",
    "strangers/test_frameworks.py",
    "strangers/test_pages.py::test_programs_that_hear",
)
"""These files and functions are nightly as a whole: they train, fetch packages or export trained models."""


def is_nightly(path: str, function: str, parameters: str) -> bool:
    """Whether a test is left to the night.

    Args:
        path: of its file, from tests/. function: its name. parameters: what stands in brackets behind it, or "".
    """
    name = f"{path}::{function}"
    return path in NIGHTLY or name in NIGHTLY or (name in DAILY and parameters not in DAILY[name])


def missing(items: Iterable[tuple[str, str, str]]) -> list[str]:
    """Names in the tables that no test has. ``items``: all tests of some files, each as for :func:`is_nightly`."""
    tests = list(items)
    paths = {path for path, _, _ in tests}
    names = {f"{path}::{function}" for path, function, _ in tests}
    whole = {f"{path}::{function}[{parameters}]" for path, function, parameters in tests}
    lost = [name for name in (*NIGHTLY, *DAILY) if name.partition("::")[0] in paths and name not in names | paths]
    asked = [f"{name}[{part}]" for name, parts in DAILY.items() if name in names for part in parts]
    return [*lost, *(name for name in asked if name not in whole)]
