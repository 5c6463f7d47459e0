"""Extractive answers, against a search over every start and every end."""

from __future__ import annotations

import numpy as np
import pytest
from attendant.bundle import TextInput
from attendant.core.errors import InvalidRequest
from attendant.tasks.answers import answer_windows, best_answers
from attendant.tasks.frames import TokenRow
from attendant.tasks.text import TextTokenizer, Tokens
from attendant.tasks.token_rows import RowMaker
from tokenizers import Tokenizer

from tests.tasks.tokenizers_of_kinds import byte_level, word_piece

CONTEXT = "the cat sat in paris . new york is playing , the cat is in e\u0301 ."


def windows(
    tokenizer: Tokenizer, question: str, context: str, *, max_tokens: int, stride: int | None, truncate: bool = False
) -> tuple[RowMaker, Tokens, list[TokenRow]]:
    maker = RowMaker(tokenizer, TextInput(max_tokens=max_tokens), with_types=True)
    asked, read = TextTokenizer(tokenizer).tokenize([question, context], 1000, spans=True)
    rows = answer_windows(
        maker, asked, read, stride=stride, truncate=truncate, question_field="q", context_field="c"
    )  # fmt: skip
    return maker, read, rows


def by_search(
    rows: list[TokenRow], logits: list[np.ndarray], context: Tokens, longest: int
) -> tuple[dict[tuple[int, int], float], float]:
    """Every answer of every window with its score, and the score of no answer."""
    found: dict[tuple[int, int], float] = {}
    nothing = 1.0
    for row, values in zip(rows, logits, strict=True):
        places = [0, *range(row.second.start, row.second.start + row.second.count)]
        powers = np.exp(values.astype(np.float64))
        starts, ends = (powers[:, side] / powers[places, side].sum() for side in (0, 1))
        nothing = min(nothing, starts[0] * ends[0])
        for i, a in enumerate(places[1:]):
            for j, b in enumerate(places[1:]):
                if i <= j < i + longest:
                    spans = context.spans[row.second.skipped :]
                    span = (int(spans[i, 0]), int(spans[j, 1]))
                    found[span] = max(found.get(span, 0.0), starts[a] * ends[b])
    return {span: score for span, score in found.items() if span[1] > span[0]}, nothing


@pytest.mark.parametrize("tokenizer", [word_piece(), byte_level()], ids=["words", "bytes"])
@pytest.mark.parametrize(("max_tokens", "stride"), [(200, None), (20, 3), (20, 0)])
@pytest.mark.parametrize("longest", [1, 4, 100])
def test_the_best_answers_of_all(tokenizer: Tokenizer, max_tokens: int, stride: int | None, longest: int) -> None:
    maker, context, rows = windows(tokenizer, "the?", CONTEXT, max_tokens=max_tokens, stride=stride)
    assert (len(rows) > 1) == (max_tokens == 20)
    rng = np.random.default_rng(longest)
    for sharpness in (0.5, 4.0):
        logits = [(rng.standard_normal((len(row), 2)) * sharpness).astype(np.float32) for row in rows]
        expected, nothing = by_search(rows, logits, context, longest)
        for allow in (False, True):
            if allow:
                expected[0, 0] = nothing
            found = best_answers(
                rows, logits, context, num_special_before=maker.pair_frame.num_before, top_k=7,
                max_answer_tokens=longest, allow_no_answer=allow,
            )  # fmt: skip
            best = sorted(expected.values(), reverse=True)[:7]
            assert [answer.score for answer in found] == pytest.approx(best, rel=1e-4)
            spans = [(answer.span.start, answer.span.end) for answer in found]
            assert len(set(spans)) == len(spans)
            for answer, span in zip(found, spans, strict=True):
                assert answer.score == pytest.approx(expected[span], rel=1e-4)
                assert answer.text == CONTEXT[span[0] : span[1]]


def test_answers_are_in_the_context_only() -> None:
    maker, context, rows = windows(word_piece(), "the cat ?", "paris", max_tokens=64, stride=None)
    logits = np.zeros((len(rows[0]), 2), np.float32)
    logits[1:4] = 50  # the question
    (answer,) = best_answers(rows, [logits], context, num_special_before=maker.pair_frame.num_before, top_k=3)
    assert (answer.text, answer.score) == ("paris", pytest.approx(0.25))


def test_an_empty_context_has_no_answer() -> None:
    maker, context, rows = windows(word_piece(), "the cat ?", "", max_tokens=64, stride=None)
    logits = [np.zeros((len(rows[0]), 2), np.float32)]
    before = maker.pair_frame.num_before
    assert best_answers(rows, logits, context, num_special_before=before) == ()
    (answer,) = best_answers(rows, logits, context, num_special_before=before, allow_no_answer=True)
    assert (answer.text, answer.score) == ("", 1.0)


def test_a_question_leaves_half_of_the_room() -> None:
    with pytest.raises(InvalidRequest, match=r"q has 40 tokens; allowed: at most 10"):
        windows(word_piece(), "the " * 40, CONTEXT, max_tokens=24, stride=None)
    _, context, rows = windows(word_piece(), "the " * 40, CONTEXT, max_tokens=24, stride=None, truncate=True)
    assert all(row.truncated and row.first.count == 10 and len(row) <= 24 for row in rows)
    assert rows[-1].second.skipped + rows[-1].second.count == len(context)


def test_a_stride_as_wide_as_a_window_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="stride is 19; allowed: 0 to 18"):
        windows(word_piece(), "the cat", CONTEXT, max_tokens=24, stride=19)
