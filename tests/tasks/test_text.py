"""Tokens, their places in the text, and what becomes of too many of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attendant.bundle import TextInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.text import TextTokenizer
from attendant.tasks.token_rows import MAX_WINDOWS, RowMaker
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.tasks.tokenizers_of_kinds import byte_level, sentence_piece, word_piece

KINDS = [word_piece, byte_level, sentence_piece]
JOINER = "\u200d"  # which some normalisers drop
HARD = [
    f"a \U0001f469{JOINER}\U0001f680 cafe\u0301 x",
    "\U0001f600",
    "  the  cat ",
    "e\u0301",
    "\ufb01 the",
    "",
    " ",
    "\u65e5\u672c the",
]


def maker(tokenizer: Tokenizer, max_tokens: int = 16) -> RowMaker:
    return RowMaker(tokenizer, TextInput(max_tokens=max_tokens), with_types=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [("the cat sat",), ("",), ("the cat", "sat in paris"), ("", "x"), ("a", "")])
def test_a_row_is_what_the_tokenizer_itself_makes(kind: Callable[[], Tokenizer], texts: tuple[str, ...]) -> None:
    tokenizer = kind()
    tokens = TextTokenizer(tokenizer).tokenize(texts, 16)
    rows = maker(tokenizer, 64)
    if len(texts) == 2:
        row = rows.pair(tokens[0], tokens[1], truncate=False, field="inputs[0]")
    else:
        row = rows.single(tokens[0], truncate=False, field="inputs[0]")
    expected = tokenizer.encode(*texts)  # type: ignore[arg-type]
    assert row.ids.tolist() == expected.ids
    assert row.type_ids.tolist() == expected.type_ids
    sequences: list[Any] = [None] * len(row)
    sequences[row.first.in_row] = [0] * row.first.count
    sequences[row.second.in_row] = [1] * row.second.count
    assert sequences == expected.sequence_ids
    assert not row.truncated


@pytest.mark.parametrize("direction", ["right", "left"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 20), second=st.integers(0, 20), limit=st.integers(5, 24))
def test_truncation_is_the_tokenizers_own(
    kind: Callable[[], Tokenizer], direction: str, first: int, second: int, limit: int
) -> None:
    tokenizer, left = kind(), direction == "left"
    texts = " ".join("abcdefghijklmnopqrst"[:first]), " ".join("zyxwvutsrqponmlkjihg"[:second])
    tokens = TextTokenizer(tokenizer).tokenize(texts, limit, from_end=left)
    rows = maker(tokenizer, limit)
    single = rows.single(tokens[0], truncate=True, field="f", left=left)
    pair = rows.pair(tokens[0], tokens[1], truncate=True, field="f", left=left)
    full = len(tokenizer.encode(texts[0]).ids), len(tokenizer.encode(*texts).ids)
    tokenizer.enable_truncation(limit, strategy="longest_first", direction=direction)
    assert single.ids.tolist() == tokenizer.encode(texts[0]).ids
    assert pair.ids.tolist() == tokenizer.encode(*texts).ids
    assert single.truncated == (full[0] > limit)
    assert pair.truncated == (full[1] > limit)
    for row, found in ((single, tokens[:1]), (pair, tokens)):
        for place, each in zip((row.first, row.second), found, strict=False):
            assert row.ids[place.in_row].tolist() == each.ids[place.in_text].tolist()


@pytest.mark.parametrize("kind", [*KINDS, lambda: byte_level(trim_offsets=False)])
@pytest.mark.parametrize("text", HARD)
def test_places_are_code_points_of_the_text(kind: Callable[[], Tokenizer], text: str) -> None:
    (tokens,) = TextTokenizer(kind()).tokenize([text], 100, spans=True)
    covered = set[int]()
    for start, end in tokens.spans.tolist():
        assert 0 <= start <= end <= len(text)
        assert text[start:end] == text[start:end].strip()
        covered.update(range(start, end))
    assert covered >= {i for i, c in enumerate(text) if not c.isspace() and c != JOINER}


def test_an_emoji_of_several_tokens_is_one_place() -> None:
    (tokens,) = TextTokenizer(byte_level()).tokenize(["a \U0001f600b"], 100, spans=True)
    assert [tuple(span) for span in tokens.spans.tolist() if span[1] > span[0]] == [(0, 1), *[(2, 3)] * 4, (3, 4)]


def test_words_begin_where_the_vocabulary_or_the_text_says() -> None:
    (pieces,) = TextTokenizer(word_piece()).tokenize(["playing paris, qq"], 100, spans=True)
    assert pieces.starts_word.tolist() == [True, False, True, True, True, False]
    (letters,) = TextTokenizer(byte_level()).tokenize(["ab, c"], 100, spans=True)
    assert letters.starts_word.tolist() == [True, False, False, True, True]


def test_too_long_names_length_and_limit() -> None:
    tokenizer = word_piece()
    (tokens,) = TextTokenizer(tokenizer).tokenize(["the " * 20], 16)
    with pytest.raises(InvalidRequest, match=r"inputs\[3\] has 22 tokens.* at most 16"):
        maker(tokenizer).single(tokens, truncate=False, field="inputs[3]")


class Counted:
    """A tokenizer that counts the characters which it is given."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode_batch_fast(self, texts: Sequence[str], **how: Any) -> Any:
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch_fast(texts, **how)


@pytest.mark.parametrize("kind", KINDS)
def test_megabytes_are_refused_or_cut_at_once(kind: Callable[[], Tokenizer]) -> None:
    """At once: of a text of words a page is read, and of a single word whatever tells how many tokens it has. It is
    read in parts that grow fourfold; the word is little longer than one of them, which is where most is read twice."""
    tokenizer = kind()
    for text, most in (("the cat " * 1_300_000, 20_000), ("a" * 1_300_000, 7 / 3 * 1_300_000)):
        counted = Counted(tokenizer)
        (tokens,) = TextTokenizer(counted).tokenize([text], 512)  # type: ignore[arg-type]
        assert counted.characters <= most
        rows = maker(tokenizer, 512)
        if not tokens.complete:
            with pytest.raises(InvalidRequest, match=r"more than \d+ tokens \(\d+ characters\)"):
                rows.single(tokens, truncate=False, field="f")
            (start,) = TextTokenizer(tokenizer).tokenize([text[:5000]], 512)
            expected = rows.single(start, truncate=True, field="f")
            assert rows.single(tokens, truncate=True, field="f").ids.tolist() == expected.ids.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_megabytes_is_read_alone_and_stands_where_it_stands(kind: Callable[[], Tokenizer]) -> None:
    tokenizer = kind()
    text = "the cat " * 1_300_000 + "sat in paris"
    counted = Counted(tokenizer)
    (tokens,) = TextTokenizer(counted).tokenize([text], 512, from_end=True)  # type: ignore[arg-type]
    assert counted.characters <= 20_000
    assert not tokens.complete
    row = maker(tokenizer, 512).single(tokens, truncate=True, field="f", left=True)
    last = text[-8000:]
    tokenizer.enable_truncation(512, direction="left")
    assert row.ids.tolist() == tokenizer.encode(last).ids
    (placed,) = TextTokenizer(kind()).tokenize([text], 512, spans=True, from_end=True)
    spans = placed.spans.tolist()
    first = min(start for start, end in spans if end > start)
    assert "".join(text[start:end] for start, end in spans) == text[first:].replace(" ", "")


def test_much_white_space_is_no_long_text() -> None:
    (tokens,) = TextTokenizer(word_piece()).tokenize(["the" + " " * 1_000_000 + "cat"], 16, spans=True)
    assert tokens.complete
    assert tokens.spans.tolist() == [[0, 3], [1_000_003, 1_000_006]]


def test_token_ids_are_taken_as_they_are() -> None:
    rows = maker(word_piece(), 6)
    assert rows.given([2, 5, 3], truncate=False, field="f").ids.tolist() == [2, 5, 3]
    assert rows.given([2, 5, 6, 7, 8, 9, 10, 3], truncate=True, field="f").ids.tolist() == [2, 5, 6, 7, 8, 3]
    assert rows.given([5] * 9, truncate=True, field="f").ids.tolist() == [5] * 6
    assert rows.given([2, 5, 6, 7, 8, 9, 10, 3], truncate=True, field="f", left=True).ids.tolist() == [
        2,
        7,
        8,
        9,
        10,
        3,
    ]
    assert rows.given([4, 5, 6, 7, 8, 9, 10], truncate=True, field="f", left=True).ids.tolist() == [5, 6, 7, 8, 9, 10]
    for bad, words in (([], "no tokens"), ([2, 10_000], "10000 at position 1"), ([5] * 7, "has 7 tokens")):
        with pytest.raises(InvalidRequest, match=words):
            rows.given(bad, truncate=False, field="f")


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 60), stride=st.integers(0, 13))
def test_windows_hold_every_token_and_share_the_stride(length: int, stride: int) -> None:
    tokenizer = word_piece()
    (tokens,) = TextTokenizer(tokenizer).tokenize([" ".join("abcdefghij"[i % 10] for i in range(length))], 100)
    rows = maker(tokenizer).windows(tokens, stride, "f")
    seen: list[int] = []
    for index, row in enumerate(rows):
        ids = row.ids[row.first.in_row].tolist()
        assert ids == tokens.ids[row.first.in_text].tolist()
        assert len(row) <= 16
        assert seen[len(seen) - stride :] == ids[:stride] if index and stride else True
        seen = seen[: row.first.skipped] + ids
    assert seen == tokens.ids.tolist()
    assert len(rows) == 1 or rows[-1].first.count > stride


def test_windows_have_their_limits() -> None:
    tokenizer = word_piece()
    rows = maker(tokenizer)
    (tokens,) = TextTokenizer(tokenizer).tokenize(["the " * 5_000], rows.window_limit(0))
    with pytest.raises(InvalidRequest, match=f"more than {MAX_WINDOWS} windows"):
        rows.windows(tokens, 0, "f")
    with pytest.raises(InvalidRequest, match="stride is 14; allowed: 0 to 13"):
        rows.windows(tokens, 14, "f")
