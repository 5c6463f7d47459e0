"""Streaming text: characters stay whole, stop strings stay hidden, templates stay in their sandbox."""

from __future__ import annotations

import random

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.errors import InvalidRequest
from attendant.core.generation import ChatMessage, ChatPrompt, TextPrompt
from attendant.frontend.detokenizer import MAX_HELD_TOKENS, Detokenizer
from attendant.frontend.stop_strings import StopStrings
from attendant.models.text import TextCodec
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tests.synthetic import byte_tokenizer


def metaspace_tokenizer() -> Tokenizer:
    """Sentencepiece-like: a mark for spaces, bytes for what is not in the vocabulary."""
    words = ["<unk>", "<s>", "</s>", *[f"<0x{i:02X}>" for i in range(256)], "▁", *"abcdefghij", "▁ab", "▁a", "cd"]
    vocab = {w: i for i, w in enumerate(words)}
    merges = [("▁", "a"), ("▁a", "b"), ("c", "d")]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    return tokenizer


BYTES = TextCodec(byte_tokenizer(), None)
SENTENCEPIECE = TextCodec(metaspace_tokenizer(), None)
TEXT = st.text(alphabet=st.one_of(st.sampled_from(" abcdéß€😀👩‍👩‍👧"), st.characters(codec="utf-8")), max_size=30)


@pytest.mark.parametrize("codec", [BYTES, SENTENCEPIECE], ids=["byte level", "byte fallback"])
@given(prompt=TEXT, text=TEXT)
def test_pieces_joined_are_the_text_after_the_prompt(codec: TextCodec, prompt: str, text: str) -> None:
    ids = codec.encode(TextPrompt(prompt + text, add_special_tokens=False)).token_ids
    whole = codec.decode(ids)
    for split in {0, len(ids) // 2, len(ids)}:
        before = codec.decode(ids[:split])
        if before.endswith("\ufffd"):  # the split is inside a character
            continue
        detokenizer = Detokenizer(codec, ids[:split])
        pieces = [detokenizer.push(token) for token in ids[split:]]
        assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in whole
        assert before + "".join(pieces) + detokenizer.flush() == whole


@given(st.lists(st.integers(6, 261), max_size=60))
def test_broken_bytes_are_shown_soon_and_never_break_utf8(ids: list[int]) -> None:
    detokenizer = Detokenizer(BYTES, ())
    held = 0
    for token in ids:
        piece = detokenizer.push(token)
        piece.encode("utf-8")
        held = 0 if piece else held + 1
        assert held <= MAX_HELD_TOKENS
    detokenizer.flush().encode("utf-8")


@given(st.text("abc", max_size=40), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.integers(0, 999))
def test_stop_strings_do_not_depend_on_how_the_text_is_cut(text: str, stops: list[str], seed: int) -> None:
    rng = random.Random(seed)
    matcher, shown, rest, found = StopStrings(stops), "", text, None
    while rest and found is None:
        size = rng.randint(1, 3)
        piece, found = matcher.push(rest[:size])
        rest = rest[size:]
        shown += piece
        assert not any(stop in shown for stop in stops)
    if found is None:
        shown += matcher.flush()
        assert shown == text
        assert not any(stop in text for stop in stops)
    else:
        assert text.startswith(shown + found)


def test_the_earliest_stop_string_wins() -> None:
    assert StopStrings(["bc", "ab"]).push("xabc") == ("x", "ab")


def chat(text: str, *messages: ChatMessage) -> str:
    """What a model with this template reads of a conversation."""
    codec = TextCodec(BYTES.tokenizer, ChatTemplates({"default": text}, {"bos_token": "<|bos|>"}))
    return codec.decode(codec.encode(ChatPrompt(messages)).token_ids, skip_special_tokens=False)


HELLO = (ChatMessage("user", "hello"),)


def test_a_template_sees_messages_and_special_tokens() -> None:
    text = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'skip' %}{% continue %}{% endif %}"
        "[{{ m['role'] }}] {{ m.content | tojson }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    rendered = chat(text, *HELLO, ChatMessage("skip", "x"))
    assert rendered == '<|bos|>[user] "hello">'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages.__class__.__mro__ }}", "forbids"),
        ("{{ messages[5].content.x }}", "refused"),
        ("{% for i in range(10**9) %}x{% endfor %}", "forbids|refused"),
    ],
)
def test_a_template_that_refuses_or_attacks_is_the_callers_error(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        chat(text, *HELLO)


def test_chat_without_a_template_says_so() -> None:
    with pytest.raises(InvalidRequest, match="no chat template"):
        BYTES.encode(ChatPrompt(HELLO))
