"""The words of a folder, against transformers: its tokenizers of all kinds, its settings, its chat templates."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from attendant_export.errors import TemplateError, TokenizerError
from attendant_export.source.folder import SourceFolder
from attendant_export.words import Words, chat, read_words
from attendant_export.words.agreement import TEXTS, check_agreement
from tokenizers import BertWordPieceTokenizer, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from tests.bundles import make_tokenizer
from tests.export.seq2seq_spm import model_bytes, write_m2m, write_marian

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "where", "is", "the", "cafe", "Where", "Café", ":", "hello", "a"]


def folder_of(folder: Path, model_type: str, files: dict[str, str | bytes] | None = None, **config: Any) -> Path:
    """A model folder without a model. ``config``: tokenizer_config.json; none without any."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def word_piece() -> str:
    """A tokenizer.json that says lower case."""
    content: str = BertWordPieceTokenizer({w: i for i, w in enumerate(WORDS)}, lowercase=True).to_str()
    return content


def served(words: Words) -> Tokenizer:
    return Tokenizer.from_str(words.tokenizer_json)


@pytest.mark.parametrize(
    ("settings", "text", "tokens"),
    [
        ({"do_lower_case": True}, "Where is the Café", "[CLS] where is the cafe [SEP]"),
        ({"do_lower_case": False}, "Where is the Café", "[CLS] Where is the Café [SEP]"),
        ({"do_lower_case": True, "strip_accents": False}, "Where is the Café", "[CLS] where is the [UNK] [SEP]"),
        (
            {"added_tokens_decoder": {"14": {"content": "<tool>", "special": True, "normalized": False}}},
            "a <tool>",
            "[CLS] a <tool> [SEP]",
        ),
        ({"additional_special_tokens": ["<x>"]}, "a<x>a", "[CLS] a <x> a [SEP]"),
        ({"extra_special_tokens": {"image_token": "<image>"}}, "a <image>", "[CLS] a <image> [SEP]"),
    ],
)
def test_settings_of_tokenizer_config(tmp_path: Path, settings: dict[str, Any], text: str, tokens: str) -> None:
    files: dict[str, str | bytes] = {"tokenizer.json": word_piece()}
    folder = folder_of(tmp_path / "m", "bert", files, tokenizer_class="BertTokenizer", **settings)
    words = read_words(SourceFolder(folder), generates=False)
    assert served(words).encode(text).tokens == tokens.split()
    assert served(words).encode(text).ids == AutoTokenizer.from_pretrained(folder)(text).input_ids


def test_padding_and_truncation_are_the_servers(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(2)
    folder = folder_of(tmp_path / "m", "llama", {"tokenizer.json": tokenizer.to_str()})
    assert len(served(read_words(SourceFolder(folder))).encode("Hello, where is my order?")) == len(
        make_tokenizer().encode("Hello, where is my order?")
    )


@pytest.mark.parametrize(
    ("model_type", "tokenizer_class", "file", "kind"),
    [
        ("llama", "LlamaTokenizer", "tokenizer.model", "bpe"),
        ("t5", "T5Tokenizer", "spiece.model", "unigram"),
        ("xlm-roberta", "XLMRobertaTokenizer", "sentencepiece.bpe.model", "unigram"),
        ("mbart", "MBartTokenizer", "sentencepiece.bpe.model", "unigram"),
        ("m2m_100", "NllbTokenizer", "sentencepiece.bpe.model", "bpe"),
        ("deberta-v2", "DebertaV2Tokenizer", "spm.model", "unigram"),
    ],
)
def test_sentencepiece_alone(tmp_path: Path, model_type: str, tokenizer_class: str, file: str, kind: str) -> None:
    import sentencepiece

    content = model_bytes(kind)
    folder = folder_of(tmp_path / "m", model_type, {file: content}, tokenizer_class=tokenizer_class)
    tokenizer = served(read_words(SourceFolder(folder)))
    pieces = sentencepiece.SentencePieceProcessor(model_proto=content)
    for text in ("the cats", "a cat at the hotel"):
        assert tokenizer.encode(text, add_special_tokens=False).tokens == pieces.encode(text, out_type=str)
        assert tokenizer.encode(text).ids == AutoTokenizer.from_pretrained(folder)(text).input_ids
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize(("model_type", "cleans_up"), [("t5", True), ("llama", False)])
def test_spaces_are_cleaned_up_where_transformers_does(tmp_path: Path, model_type: str, cleans_up: bool) -> None:
    name, kind = ("spiece.model", "unigram") if model_type == "t5" else ("tokenizer.model", "bpe")
    config = {"tokenizer_class": f"{model_type.capitalize()}Tokenizer", "clean_up_tokenization_spaces": True}
    folder = folder_of(tmp_path / "m", model_type, {name: model_bytes(kind)}, **config)
    assert read_words(SourceFolder(folder)).cleans_up == cleans_up


def test_translators_with_a_vocabulary_beside_their_pieces(tmp_path: Path) -> None:
    marian = folder_of(
        tmp_path / "marian", "marian", tokenizer_class="MarianTokenizer", source_lang="en", target_lang="fr"
    )
    write_marian(marian)
    m2m = folder_of(
        tmp_path / "m2m", "m2m_100", tokenizer_class="M2M100Tokenizer", additional_special_tokens=["__en__"]
    )
    write_m2m(m2m)
    for folder in (marian, m2m):  # transformers has slow tokenizers for them, with which ours agree
        ids = served(read_words(SourceFolder(folder))).encode("the cats", add_special_tokens=False).ids
        assert ids == AutoTokenizer.from_pretrained(folder)("the cats", add_special_tokens=False).input_ids


def test_tiktoken(tmp_path: Path) -> None:
    merged = [b"He", b"ll", b"he", b"the", b" the", b"or", b" or", b"de"]
    tokens = [bytes([byte]) for byte in range(256)] + merged
    lines = b"\n".join(base64.b64encode(token) + b" %d" % rank for rank, token in enumerate(tokens))
    folder = folder_of(tmp_path / "m", "llama", {"tokenizer.model": lines}, tokenizer_class="PreTrainedTokenizerFast")
    found = served(read_words(SourceFolder(folder))).encode("Hello the order")
    assert found.tokens == ["He", "ll", "o", "Ġthe", "Ġor", "de", "r"]


@pytest.mark.parametrize(
    ("model_type", "files", "config", "message"),
    [
        (
            "llama",
            {},
            {"tokenizer_class": "LlamaTokenizer"},
            r"no tokenizer\.json, and its other files do not make one",
        ),
        ("llama", {"tokenizer.json": "{}"}, {}, r"tokenizer\.json cannot be read"),
        ("llama", {"tokenizer.model": b"\0nonsense"}, {"tokenizer_class": "LlamaTokenizer"}, "do not make one"),
        (
            "esm",
            {"vocab.txt": "<cls>\n<eos>\n<unk>\n<pad>\n<mask>\nL"},
            {},
            "EsmTokenizer is none that can be made one",
        ),
        (
            "llama",
            {"tokenizer.model": b"x"},
            {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}},
            "code that comes with the folder, which is not run",
        ),
    ],
)
def test_what_makes_no_tokenizer_is_told(
    tmp_path: Path, model_type: str, files: dict[str, str | bytes], config: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_words(SourceFolder(folder_of(tmp_path / "m", model_type, files, **config)))


def test_a_tokenizer_of_its_own_code_gives_way_to_the_file_with_a_warning(tmp_path: Path) -> None:
    config = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    folder = folder_of(tmp_path / "m", "llama", {"tokenizer.json": make_tokenizer().to_str()}, **config)
    words = read_words(SourceFolder(folder))
    assert served(words).encode("my order").ids == make_tokenizer().encode("my order").ids
    assert [("not run" in line) for line in words.warnings] == [True]


def test_a_file_that_nothing_is_said_of_is_served_as_it_is(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "\u2581the": 1, "\u2581cat": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    folder = folder_of(tmp_path / "m", "gpt2", {"tokenizer.json": tokenizer.to_str()})
    words = read_words(SourceFolder(folder))
    assert served(words).decode(served(words).encode("the cat").ids) == "the cat"
    assert "transformers' GPT2Tokenizer makes other tokens of some texts" in words.warnings[0]
    folder_of(folder, "gpt2", tokenizer_class="PreTrainedTokenizerFast")
    assert read_words(SourceFolder(folder)).warnings == ()


@pytest.mark.parametrize("decodes", [True, False])
def test_tokenizers_that_differ_are_refused_by_the_text(tmp_path: Path, decodes: bool) -> None:
    folder = folder_of(tmp_path / "m", "llama", {"tokenizer.json": make_tokenizer().to_str()})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    check_agreement(tokenizer, make_tokenizer(), folder, decodes=decodes)
    other = make_tokenizer()
    other.add_tokens(["Where is"])
    with pytest.raises(TokenizerError, match="do not agree over the text 'Where is"):
        check_agreement(tokenizer, other, folder, decodes=decodes)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<one>", "<two>"]})
    with pytest.raises(TokenizerError, match="over the text 'a<one>b <one>'"):
        check_agreement(tokenizer, make_tokenizer(), folder, decodes=decodes)


def test_every_kind_of_text_is_tried() -> None:
    joined = "".join(TEXTS)
    assert all(part in joined for part in ("é", "e\u0301", "東", "\u200d", "   ", "\x00", "\t", "def ", "ß"))


LLAMA = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>"}


def chat_folder(folder: Path, **config: Any) -> Path:
    return folder_of(folder, "llama", {"tokenizer.json": make_tokenizer().to_str()}, **{**LLAMA, **config})


def test_special_tokens_come_from_the_tokenizer(tmp_path: Path) -> None:
    words = read_words(
        SourceFolder(chat_folder(tmp_path / "m", extra_special_tokens={"image_token": "<|pad|>"}, pad_token="<|pad|>"))
    )
    assert words.special_tokens == {
        **{"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>", "image_token": "<|pad|>"}
    }


def test_templates_of_all_places(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    assert read_words(SourceFolder(chat_folder(tmp_path / "m", chat_template=named))).chat_templates == {
        "default": "a",
        "tool_use": "b",
    }
    (tmp_path / "m" / "chat_template.jinja").write_text("c")
    assert read_words(SourceFolder(tmp_path / "m")).chat_templates == {"default": "c"}
    (tmp_path / "m" / "additional_chat_templates").mkdir()
    (tmp_path / "m" / "additional_chat_templates" / "rag.jinja").write_text("d{% generation %}e{% endgeneration %}")
    found = read_words(SourceFolder(tmp_path / "m"))
    assert found.chat_templates == {"default": "c", "rag": "d{% generation %}e{% endgeneration %}"}
    assert found.warnings == ()


def test_a_template_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    found = read_words(SourceFolder(chat_folder(tmp_path / "broken", chat_template="{% if %}")))
    assert found.chat_templates == {}
    assert "the chat template does not compile and is left out: Expected an expression" in found.warnings[0]
    refusing = "{{ raise_exception('Only tools') }}"
    found = read_words(
        SourceFolder(chat_folder(tmp_path / "refusing", chat_template=[{"name": "t", "template": refusing}]))
    )
    assert found.chat_templates == {"t": refusing}
    assert found.warnings == ("the chat template 't' refuses every conversation that it was tried with: Only tools",)


def test_a_template_that_renders_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(chat.ChatTemplate):  # type: ignore[misc, name-defined]
        def render(self, *args: Any, **asked: Any) -> str:
            return super().render(*args, **asked) + "!"

    monkeypatch.setattr(chat, "ChatTemplate", Other)
    with pytest.raises(
        TemplateError, match=r"gives another text here than in transformers for .*'x!', in transformers 'x'"
    ):
        read_words(SourceFolder(chat_folder(tmp_path / "m", chat_template="x")))
