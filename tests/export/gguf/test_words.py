"""The tokenizer of a GGUF file makes the ids that the model's own tokenizer makes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from attendant_export.errors import TokenizerError
from attendant_export.source.gguf.splits import SPLITS
from attendant_export.source.json_files import read_json
from attendant_export.source.resolving import resolve
from attendant_export.words import read_words
from attendant_export.words.agreement import TEXTS
from tokenizers import Tokenizer

from tests.export.gguf.writing import SPECIAL, byte_tokenizer, byte_words, sentencepiece_model, sentencepiece_words


def made(path: Path, words: Callable[[gguf.GGUFWriter], None], architecture: str = "llama", **more: Any) -> Tokenizer:
    """The bundle's tokenizer of a file whose model is only hinted at."""
    return Tokenizer.from_str(read_words(resolve(str(write_words(path, words, architecture, **more)))).tokenizer_json)


def write_words(path: Path, words: Callable[[gguf.GGUFWriter], None], architecture: str = "llama", **more: Any) -> Path:
    writer = gguf.GGUFWriter(path / "words.gguf", architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    words(writer)
    for key, value in more.items():
        name = f"tokenizer.ggml.{key}"
        (writer.add_bool if isinstance(value, bool) else writer.add_string)(name, value)
    writer.add_tensor("token_embd.weight", np.zeros((600, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path / "words.gguf"


@pytest.mark.parametrize("split", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "gpt-4o"])
def test_a_byte_level_vocabulary_is_the_one_it_was_written_from(tmp_path: Path, split: str) -> None:
    found, wanted = made(tmp_path, partial(byte_words, split=split)), byte_tokenizer(split)
    if SPLITS[split].composes:
        from tokenizers import normalizers

        wanted.normalizer = normalizers.NFC()
    for text in (*TEXTS, f"{SPECIAL[0]}a{SPECIAL[1]} b"):
        ids = wanted.encode(text).ids
        assert found.encode(text, add_special_tokens=False).ids == ids, text
        assert found.encode(text).ids == ([0, *ids] if SPLITS[split].begins else ids), text
        assert found.decode(ids, skip_special_tokens=False) == wanted.decode(ids, skip_special_tokens=False)


def test_texts_are_cut_as_transformers_cuts_them() -> None:
    """The patterns are written down twice, by others and by us."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    common = SPLITS.keys() & GGUF_PRE_TOKENIZER_SPLITS.keys()
    assert {"llama-bpe", "qwen2", "tekken", "gpt-4o"} <= common
    for name in common:
        assert SPLITS[name].pattern == GGUF_PRE_TOKENIZER_SPLITS[name], name


@pytest.mark.parametrize("split", ["gpt-2", "smollm"])
def test_the_older_splits_are_those_of_tokenizers(split: str) -> None:
    """The pattern that ByteLevel has built in, after single digits where the name has them."""
    from attendant_export.source.gguf.splits import pre_tokenizer
    from tokenizers import pre_tokenizers

    digits = [pre_tokenizers.Digits(individual_digits=True)] if split == "smollm" else []
    wanted = pre_tokenizers.Sequence([*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    for text in TEXTS:
        assert pre_tokenizer(SPLITS[split]).pre_tokenize_str(text) == wanted.pre_tokenize_str(text), text


def test_a_sentencepiece_vocabulary_is_the_one_it_was_written_from(tmp_path: Path) -> None:
    """SentencePiece itself is asked: its ids of every text, and its text of every list of ids."""
    import sentencepiece

    model = sentencepiece_model()
    wanted = sentencepiece.SentencePieceProcessor(model_proto=model)
    found = made(tmp_path, partial(sentencepiece_words, model=model))
    for text in TEXTS:
        if "\x00" in text or "\u2581" in text or "##" in text:
            continue  # what stands for a space in pieces is one to SentencePiece; NUL ends its texts
        ids = wanted.encode(text)
        assert found.encode(text, add_special_tokens=False).ids == ids, text
        assert found.encode(text).ids == [1, *ids], text
        assert found.decode(ids) == wanted.decode(ids), text


def test_texts_without_a_space_before_them(tmp_path: Path) -> None:
    import sentencepiece

    model = sentencepiece_model(add_dummy_prefix=False)
    wanted = sentencepiece.SentencePieceProcessor(model_proto=model)
    found = made(tmp_path, partial(sentencepiece_words, model=model, prefix=False))
    for text in ("Hello, world", " a  b", "def f():\n    return 1", "東京 12"):
        assert found.encode(text, add_special_tokens=False).ids == wanted.encode(text), text
        assert found.decode(wanted.encode(text)) == text


def test_whether_texts_begin_and_end_with_tokens_is_the_files_to_say(tmp_path: Path) -> None:
    tokenizer = made(tmp_path, byte_words, add_bos_token=False, add_eos_token=True)
    ids = tokenizer.encode("a b", add_special_tokens=False).ids
    assert tokenizer.encode("a b").ids == [*ids, 1]


def test_tokens_that_somebody_defined_stay_whole(tmp_path: Path) -> None:
    def words(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        vocabulary = sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])
        writer.add_token_list([*(token for token, _ in vocabulary), "<think>", "[PAD401]"])
        writer.add_token_types([3, 3, *[1] * (len(vocabulary) - 2), 4, 5])

    tokenizer = made(tmp_path, words)
    assert tokenizer.encode("a<think>b", add_special_tokens=False).ids[1] == 400
    assert "<think>" in tokenizer.decode([400], skip_special_tokens=True)
    assert 401 not in tokenizer.encode("[PAD401]").ids


def test_answers_end_with_control_tokens_that_end_texts_by_their_name(tmp_path: Path) -> None:
    """Llama 3's base models have other end tokens in their settings than in their file."""

    def words(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        vocabulary = sorted(byte_tokenizer().get_vocab().items(), key=lambda item: item[1])
        writer.add_token_list([*(token for token, _ in vocabulary), "<|end_of_text|>", "<|eot_id|>", "<EOT>"])
        writer.add_token_types([3, 3, *[1] * (len(vocabulary) - 2), 3, 3, 1])

    folder = resolve(str(write_words(tmp_path, words)))
    assert read_json(folder.path / "generation_config.json")["eos_token_id"] == [1, 400, 401]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": "rwkv"}, r"tokenizer\.ggml\.model is 'rwkv'; read are gpt2, llama"),
        ({"pre": "chatglm-bpe"}, r"tokenizer\.ggml\.pre is 'chatglm-bpe'; read are gpt-2, "),
    ],
)
def test_tokenizers_that_are_not_read_are_named(tmp_path: Path, more: dict[str, str], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        resolve(str(write_words(tmp_path, byte_words, **more)))


def test_vocabularies_that_are_not_whole(tmp_path: Path) -> None:
    def few_types(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        writer.add_token_types([1, 1])

    def twice(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        writer.add_token_list(["a", "b", "a"])
        writer.add_token_types([1, 1, 1])

    def strange_merges(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        writer.add_token_merges(["a nothing"])

    for words, message in (
        (few_types, "has 400 tokens, 2 types and 0 scores"),
        (twice, "has two tokens 'a'"),
        (strange_merges, "its merges do not fit its tokens"),
    ):
        with pytest.raises(TokenizerError, match=message):
            resolve(str(write_words(tmp_path, words)))
