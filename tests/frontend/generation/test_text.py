"""Streaming text: characters stay whole, stop strings stay hidden, templates stay in their sandbox."""

from __future__ import annotations

import random

import pytest
from attendant.bundle import ChatTemplates
from attendant.core.chat import ChatMessage, ChatPrompt
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt
from attendant.frontend.generation.detokenizer import MAX_HELD_TOKENS, Detokenizer
from attendant.frontend.generation.stop_strings import StopStrings
from attendant.models.spaces import clean_spaces
from attendant.models.text import TextCodec
from hypothesis import example, given
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
    ids = codec.tokenize(TextPrompt(prompt + text, add_special_tokens=False)).token_ids
    whole = codec.decode(ids)
    for split in {0, len(ids) // 2, len(ids)}:
        before = codec.decode(ids[:split])
        if before.endswith("\ufffd"):  # the split is inside a character
            continue
        detokenizer = Detokenizer(codec, ids[:split])
        pieces = [detokenizer.push(token) for token in ids[split:]]
        assert not any("\ufffd" in piece for piece in pieces) or "\ufffd" in whole
        assert before + "".join(pieces) + detokenizer.flush() == whole


def _ids(codec: TextCodec, *tokens: str) -> list[int]:
    return [codec.tokenizer.token_to_id(token) for token in tokens]


FRAGMENTS = {  # tokens whose bytes are broken, or make characters, whatever stands around them
    "byte level": [_ids(BYTES, *tokens) for tokens in ("\xff", "\xc3x", "\u0120a", "b", "\xc3\xa9")],
    "byte fallback": [
        *(_ids(SENTENCEPIECE, token) for token in ("<0xFF>", "<0xF0>", "▁a", "cd")),
        _ids(SENTENCEPIECE, "cd", "<0xC3>", "<0xA9>", "▁"),
    ],
}


@pytest.mark.parametrize("num_broken", range(20))
@pytest.mark.parametrize("before", ["", "\u0120a", "\xc3\xa9"])
def test_a_character_of_two_tokens_may_follow_any_number_of_broken_bytes(num_broken: int, before: str) -> None:
    ids = _ids(BYTES, *before, *("\xff",) * num_broken, "\xc3", "\xa9", "b")
    detokenizer = Detokenizer(BYTES, ())
    pieces = [detokenizer.push(token) for token in ids]
    assert "".join(pieces) + detokenizer.flush() == BYTES.decode(ids)
    assert BYTES.decode(ids).endswith("\ufffd" * num_broken + "\xe9b")


@pytest.mark.parametrize("name", FRAGMENTS)
@example(data=None)
@given(data=st.data())
def test_broken_bytes_take_nothing_from_what_follows(name: str, data: st.DataObject | None) -> None:
    codec = BYTES if name == "byte level" else SENTENCEPIECE
    some = FRAGMENTS[name]
    fragments = data.draw(st.lists(st.sampled_from(some), max_size=30)) if data else [some[0]] * 20 + some[2:] * 2
    ids = [token for fragment in fragments for token in fragment]
    prompt = list(codec.tokenize(TextPrompt("ab", add_special_tokens=False)).token_ids)
    for before in ([], prompt):
        detokenizer = Detokenizer(codec, before)
        text = "".join(detokenizer.push(token) for token in ids) + detokenizer.flush()
        assert codec.decode(before) + text == codec.decode(before + ids)


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


@given(st.lists(st.sampled_from(["a", "b", "c", "<a>", "<b>"]), max_size=30), st.data())
def test_stop_strings_are_found_in_the_text_with_special_tokens_and_in_that_without(
    tokens: list[str], data: st.DataObject
) -> None:
    stops = data.draw(st.lists(st.text("ab<>", min_size=1, max_size=5), max_size=3))
    matcher, shown, found, place = StopStrings(stops), "", None, 0
    for place, token in enumerate(tokens, start=1):  # noqa: B007 (read after the loop)
        text, hidden = ("", token) if token.startswith("<") else (token, "")
        piece, found = matcher.push(text, hidden)
        shown += piece
        if found is not None:
            break
    if found is None:
        shown += matcher.flush()
    texts = ["".join(tokens[:place]), "".join(t for t in tokens[:place] if not t.startswith("<"))]
    assert (found is not None) == any(stop in text for stop in stops for text in texts)
    assert texts[1].startswith(shown)
    assert not any(stop in shown for stop in stops)
    if found is None:
        assert shown == texts[1]
    else:
        assert any(found in text for text in texts)


def test_a_stop_string_that_is_a_special_token() -> None:
    matcher = StopStrings(["<|end|>", "b<|x|>c"])
    assert [matcher.push("a", ""), matcher.push("b", "<|x|>"), matcher.push("d"), matcher.push("", "<|end|>")] == [
        *(("a", None), ("", None), ("bd", None)),
        ("", "<|end|>"),
    ]
    matcher = StopStrings(["<|end|>", "b<|x|>c"])
    assert [matcher.push("ab", "<|x|>"), matcher.push("c")] == [("a", None), ("", "b<|x|>c")]


CLEANED = TextCodec(metaspace_tokenizer(), None, cleans_up=True)


@given(st.text("  abcn'tsrevm.?!,", max_size=40))
def test_spaces_are_cleaned_up_in_a_stream_as_in_a_whole_text(text: str) -> None:
    ids = CLEANED.tokenize(TextPrompt(text, add_special_tokens=False)).token_ids
    detokenizer = Detokenizer(CLEANED, ())
    found = "".join([detokenizer.push(token) for token in ids]) + detokenizer.flush()
    assert found == CLEANED.decode(ids) == clean_spaces(SENTENCEPIECE.decode(ids))


def test_what_cleaning_up_changes() -> None:  # what transformers' clean_up_tokenization makes of it
    text = "Well , I do n't know ! You 're right ; it ' s Bob 's ."
    assert clean_spaces(text) == "Well, I don't know! You're right ; it's Bob's."


def test_special_tokens_can_be_kept() -> None:
    ids = [*BYTES.tokenize(TextPrompt("é", add_special_tokens=False)).token_ids, 1, 1]
    kept = Detokenizer(BYTES, (1,), keep_special_tokens=True)
    assert [kept.push(token) for token in ids] == ["", "é", BYTES.special_tokens[1], BYTES.special_tokens[1]]


def test_the_earliest_stop_string_wins() -> None:
    assert StopStrings(["bc", "ab"]).push("xabc") == ("x", "ab")


def chat(text: str, *messages: ChatMessage) -> str:
    """What a model with this template reads of a conversation."""
    codec = TextCodec(BYTES.tokenizer, ChatTemplates({"default": text}, {"bos_token": "<|bos|>"}))
    return codec.decode(codec.tokenize(ChatPrompt(messages)).token_ids, skip_special_tokens=False)


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
        BYTES.tokenize(ChatPrompt(HELLO))
