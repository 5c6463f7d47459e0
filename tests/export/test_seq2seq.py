"""Encoder-decoders against transformers' generate, docs/seq2seq.md against every family, and what bundles tell."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from attendant.bundle import (
    AudioSource,
    GenerationDefaults,
    GeneratorManifest,
    Seq2SeqRules,
    TextSource,
    read_manifest,
    verify_files,
)
from attendant_export.cli import main
from attendant_export.drafts import Order
from attendant_export.errors import ExportError, SourceError, TokenizerError, UnsupportedModel, UnsupportedTask
from attendant_export.export import export_bundle
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe
from attendant_export.seq2seq.encoder import find_layout
from attendant_export.seq2seq.export import EncoderDecoder
from attendant_export.seq2seq.languages import languages_of
from attendant_export.seq2seq.rules import seq2seq_defaults, seq2seq_rules
from attendant_export.seq2seq.source import Seq2SeqSource, is_encoder_decoder, load_seq2seq
from attendant_export.seq2seq.speech import speech_of
from attendant_export.source.folder import SourceFolder
from transformers import GenerationConfig

from tests.export import seq2seq_doc
from tests.export.seq2seq_families import FAMILIES, NIGHTLY, PREPROCESSOR, WHISPER_SPECIALS, make_model, save_folder
from tests.export.seq2seq_families import tokenizer_json as tokenizer_of
from tests.export.seq2seq_measure import Subject, measure

RULES = Seq2SeqRules(start=(2,))


def source_of(name: str, **config: Any) -> Seq2SeqSource:
    model = make_model(name, **config)
    tokenizer_config = {"tokenizer_class": FAMILIES[name].tokenizer_class}
    return Seq2SeqSource(model, tokenizer_of(name), tokenizer_config, PREPROCESSOR if name == "whisper" else {})


def test_document_lists_every_family() -> None:
    assert list(seq2seq_doc.read()) == list(FAMILIES), "run python -m tests.export.seq2seq_doc"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name in NIGHTLY)) for name in FAMILIES]
)
def test_family_answers_as_documented(name: str) -> None:
    documented = seq2seq_doc.read()[name]
    found = measure(name)
    assert found.greedy
    assert found.error <= documented.error_below
    assert (found.layout, found.cross_layers) == (documented.layout, documented.cross_layers)
    assert f"{found.nodes[0]}, {found.nodes[1]}" == documented.nodes
    assert found.exact >= documented.exact


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GeneratorManifest]:
    """A folder, exported by the command line, at ``bundle`` beside it."""
    parent = tmp_path_factory.mktemp("bart")
    save_folder("bart", parent / "tiny-bart")
    assert main([str(parent / "tiny-bart"), str(parent / "bundle")]) == 0
    return parent, read_manifest(parent / "bundle")


def test_bundle_of_the_command_line(bart: tuple[Path, GeneratorManifest]) -> None:
    parent, manifest = bart
    verify_files(parent / "bundle", manifest)
    assert (manifest.name, manifest.task, manifest.architecture) == ("tiny-bart", "generate", "bart")
    assert (manifest.target, manifest.precision, manifest.cache_layout) == ("cpu", "fp32", "slots")
    assert manifest.encoder_input == TextSource(
        max_length=96, layout="packed", pad_id=1, vocab_size=manifest.vocab_size
    )
    assert manifest.answer == Seq2SeqRules(start=(2,), forced_first=0, forced_last=2)
    defaults = manifest.generation_defaults
    assert (defaults.temperature, defaults.num_beams, defaults.length_penalty) == (0.0, 4, 2.0)
    assert (defaults.early_stopping, defaults.no_repeat_ngram_size, defaults.max_tokens) == ("first", 3, 59)
    assert defaults.min_tokens == 4
    assert manifest.context_length == 96
    assert [case.name for case in manifest.parity.cases] == ["prefill", "chunk", "ragged_decode"]


def test_graphs_have_the_inputs_of_the_contract(bart: tuple[Path, GeneratorManifest]) -> None:
    _, manifest = bart
    encoder, decoder = (
        {spec.name: spec for spec in manifest.graphs[name].inputs + manifest.graphs[name].outputs}
        for name in ("encoder", "decoder")
    )
    assert encoder["cross_key_1"].shape == (4, "num_tokens", 16)
    assert encoder["cross_value_1"].dtype == "float32"
    assert decoder["past_key_0"].shape == ("batch", 4, "max_length", 16)
    for name in ("cross_key_0", "present_cross_value_1"):
        assert decoder[name].shape == ("batch", 4, "max_source", 16)
    assert (decoder["source_seqlens"].shape, decoder["source_seqlens"].dtype) == (("batch",), "int32")
    assert (decoder["source_total"].shape, decoder["source_total"].dtype) == ((1,), "int32")
    assert "kv_positions" not in decoder
    assert len(manifest.kv_layers) == len(manifest.cross_layers) == 2


@pytest.mark.parametrize("name", ["bart", "whisper"])
def test_int8_is_near_the_model(name: str, tmp_path: Path) -> None:
    manifest = export(EncoderDecoder(source_of(name)), [Recipe(precision="int8")], Order(tmp_path / "b", name))
    assert manifest.precision == "int8"
    assert manifest.parity.cosine >= 0.999


def test_heads_are_filled_up_to_what_the_kernels_read(tmp_path: Path) -> None:
    subject = Subject("marian", tmp_path / "b", d_model=48)  # heads of 12 channels
    assert {layer.head_size for layer in subject.manifest.cross_layers} == {16}
    answers = subject.answer(range(2))
    assert [answer.tokens for answer in answers] == [subject.generated(index)[0] for index in range(2)]


def test_an_answer_longer_than_its_source_runs_in_one_go(tmp_path: Path) -> None:
    subject = Subject("t5", tmp_path / "b")
    tokens = np.random.default_rng(0).integers(3, 200, (1, 30))
    session = subject.session(3)
    session.read([0, 1, 2], [subject.rows[3], subject.rows[2], subject.rows[3]])  # of 2, 22 and 2 positions
    with torch.no_grad():
        for slot, row in ((0, subject.rows[3]), (1, subject.rows[2])):
            found = session.run(slice(slot, slot + 1), tokens, [0])
            given = {"input_ids": torch.from_numpy(row)[None], "decoder_input_ids": torch.from_numpy(tokens)}
            np.testing.assert_allclose(found, subject.model(**given).logits[0], atol=1e-4)
    pieces = [session.run(slice(2, 3), tokens[:, at : at + 2], [at]) for at in range(0, 30, 2)]
    np.testing.assert_array_equal(np.concatenate(pieces), session.run(slice(0, 1), tokens, [0]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--precision int4", "no precision 'int4' on target cpu; allowed: fp32, int8"),
        ("--target cuda --precision int4", "no precision 'int4' on target cuda; allowed: fp16"),
        ("--target cuda --precision bf16", "no precision 'bf16' on target cuda; allowed: fp16"),
        ("--target cuda --kv-cache int8", "encoder-decoders have no int8 KV cache; allowed: model"),
    ],
)
def test_recipes_that_encoder_decoders_do_not_have(
    bart: tuple[Path, GeneratorManifest], arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parent, _ = bart
    assert main([str(parent / "tiny-bart"), str(parent / "other"), *arguments.split()]) == 2
    assert words in capsys.readouterr().err
    assert not (parent / "other").exists()


def test_a_bundle_for_gpus_is_in_half_precision_unless_asked_otherwise(bart: tuple[Path, GeneratorManifest]) -> None:
    parent, _ = bart
    assert main([str(parent / "tiny-bart"), str(parent / "gpu"), "--target", "cuda"]) == 0
    manifest = read_manifest(parent / "gpu")
    verify_files(parent / "gpu", manifest)
    assert (manifest.target, manifest.precision, manifest.cache_layout) == ("cuda", "fp16", "pages")
    assert [case.name for case in manifest.parity.cases] == ["prefill", "chunk", "ragged_decode"]
    assert manifest.parity.cosine > 0.9999


@pytest.mark.parametrize("name", ["t5", "flan_t5", "mt5", "umt5"])
def test_relative_positions_have_no_place_in_pages(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"relative positions.*PagedAttention.*allowed: target cpu"):
        export(EncoderDecoder(source_of(name)), [Recipe("cuda", "fp16")], Order(tmp_path / "b", name))
    assert not (tmp_path / "b").exists()


def test_a_missing_head_is_told(tmp_path: Path) -> None:
    folder = save_folder("bart", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BartModel"]}))
    with pytest.raises(UnsupportedTask, match="BartModel cannot be exported for task 'generate'"):
        export_bundle(folder, tmp_path / "b", task="generate")
    model = make_model("bart")
    model.get_output_embeddings = lambda: None
    with pytest.raises(UnsupportedModel, match="no language-model head"):
        export(EncoderDecoder(Seq2SeqSource(model, tokenizer_of("bart"))), [Recipe()], Order(tmp_path / "b", "b"))


def test_a_head_of_its_own_is_read_from_the_folder(tmp_path: Path) -> None:
    model = load_seq2seq(SourceFolder(save_folder("flan_t5", tmp_path / "m"))).model
    wanted = make_model("flan_t5")
    assert not torch.equal(wanted.lm_head.weight, wanted.shared.weight)
    assert torch.equal(model.lm_head.weight, wanted.lm_head.weight)


def test_other_refusals(tmp_path: Path) -> None:
    folder = save_folder("marian", tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "share_encoder_decoder_embeddings": False}))
    with pytest.raises(UnsupportedModel, match="vocabularies of their own"):
        load_seq2seq(SourceFolder(folder))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "speecht5"}))
    with pytest.raises(UnsupportedModel, match="another kind"):
        load_seq2seq(SourceFolder(folder))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "longt5"}))
    with pytest.raises(UnsupportedModel, match="into blocks"):
        load_seq2seq(SourceFolder(folder))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        load_seq2seq(SourceFolder(folder))
    with pytest.raises(ExportError, match="pooling"):
        export_bundle(save_folder("t5", tmp_path / "t5"), tmp_path / "b", pooling="mean")


def test_an_encoder_of_its_own_is_still_exported_to_embed(tmp_path: Path) -> None:
    manifest = export_bundle(save_folder("t5", tmp_path / "t5"), tmp_path / "b", task="embed")
    assert (manifest.task, manifest.architecture) == ("embed", "t5")


def test_encoder_decoders_are_told_from_decoders() -> None:
    assert is_encoder_decoder({"model_type": "whisper"})
    assert is_encoder_decoder({"model_type": "bart", "is_encoder_decoder": True})
    assert not is_encoder_decoder({"model_type": "bart", "is_encoder_decoder": False})
    assert not is_encoder_decoder({"model_type": "llama"})


def test_sources_that_influence_each_other_are_refused() -> None:
    model = make_model("bart")
    attention = model.get_encoder().layers[0].self_attn
    forward = attention.forward
    attention.forward = lambda states, *args, **more: forward(states + states.mean(1, keepdim=True), *args, **more)
    rows = [np.arange(5, 5 + length) for length in (4, 9)]
    with pytest.raises(UnsupportedModel, match="differ from sources alone"):
        find_layout(model, TextSource(max_length=96, layout="packed", pad_id=1), rows)


@pytest.mark.parametrize(
    ("name", "codes", "source", "target"),
    [
        ("mbart", "ar_AR cs_CZ de_DE en_XX ro_RO", ("text", "eos", "language"), "start"),
        ("mbart50", "ar_AR cs_CZ de_DE en_XX ro_RO", ("language", "text", "eos"), "first"),
        ("m2m_100", "de en fr", ("language", "text", "eos"), "first"),
        ("nllb", "deu_Latn eng_Latn fra_Latn", ("language", "text", "eos"), "first"),
        ("marian_multi", "deu fra", ("text", "eos"), "source"),
    ],
)
def test_languages(name: str, codes: str, source: tuple[str, ...], target: str) -> None:
    given = source_of(name)
    found = languages_of(given.architecture, given.tokens, given.tokenizer_config, seq2seq_rules(given.model))
    assert found is not None
    assert (list(found.tokens), found.source, found.target) == (codes.split(), source, target)
    assert found.default_target == ("ro_RO" if name == "mbart" else None)
    assert all(FAMILIES[name].vocabulary[token].strip("_<>") == code for code, token in found.tokens.items())


def test_default_languages_come_from_the_tokenizers_config() -> None:
    tokens = {"eng_Latn": 5, "fra_Latn": 6}
    config = {"src_lang": "eng_Latn", "tgt_lang": "xyz", "legacy_behaviour": True}
    found = languages_of("m2m_100", tokens, config, RULES)
    assert found is not None
    assert (found.default_source, found.default_target) == ("eng_Latn", None)
    assert found.source == ("text", "eos", "language")
    assert languages_of("marian", {"a": 1}, {}, RULES) is None
    assert languages_of("t5", {"en_XX": 1}, {}, RULES) is None


def test_rules_and_defaults_without_a_generation_config(tmp_path: Path) -> None:
    folder = save_folder("marian", tmp_path / "m")
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    more = {"num_beams": 6, "no_repeat_ngram_size": 3, "early_stopping": "never", "forced_bos_token_id": 4}
    (folder / "config.json").write_text(json.dumps({**config, **more, "max_new_tokens": 7}))
    model = load_seq2seq(SourceFolder(folder)).model
    rules, defaults = seq2seq_rules(model), seq2seq_defaults(model)
    assert rules == Seq2SeqRules(start=(FAMILIES["marian"].id_of("<pad>"),), forced_first=4)
    assert (defaults.num_beams, defaults.no_repeat_ngram_size) == (6, 3)
    assert (defaults.early_stopping, defaults.max_tokens) == ("never", 7)


def test_what_a_generation_config_leaves_out() -> None:
    model = make_model("bart")
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=2)
    model.config.forced_eos_token_id = 2  # a default of the class, which generate does not read
    assert seq2seq_rules(model) == Seq2SeqRules(start=(2,))
    assert seq2seq_defaults(model) == GenerationDefaults(top_k=50)
    bare = SimpleNamespace(model_type="bart")
    with pytest.raises(UnsupportedModel, match="decoder_start_token_id"):
        seq2seq_rules(SimpleNamespace(config=bare, generation_config=GenerationConfig()))


def test_speech() -> None:
    given = source_of("whisper")
    ids = {token: FAMILIES["whisper"].id_of(token) for token in (*WHISPER_SPECIALS, "<|0.00|>")}
    found = speech_of(given.model, given.tokens)
    assert found.start_of_transcript == ids["<|startoftranscript|>"]
    assert found.languages == {code: ids[f"<|{code}|>"] for code in ("de", "en", "fr")}
    assert found.tasks == {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    assert (found.no_timestamps, found.first_timestamp) == (ids["<|notimestamps|>"], ids["<|0.00|>"])
    assert (found.previous, found.no_speech) == (ids["<|startofprev|>"], ids["<|nospeech|>"])
    assert found.max_initial_timestamp == 25
    assert given.encoder_input() == AudioSource(max_length=50, num_mel_bins=20, num_frames=100)
    assert seq2seq_rules(given.model).suppressed_first == (ids["<|endoftext|>"],)

    config = given.model.generation_config
    config.lang_to_id = config.task_to_id = config.no_timestamps_token_id = None
    assert speech_of(given.model, given.tokens) == found.model_copy(
        update={"languages": dict(sorted(found.languages.items()))}
    )
    config.is_multilingual = False
    english = speech_of(given.model, given.tokens)
    assert (english.languages, english.tasks) == ({}, {})
    with pytest.raises(SourceError, match="notimestamps"):
        speech_of(given.model, {})
