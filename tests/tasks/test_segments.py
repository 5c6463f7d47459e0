"""Answers to windows of sound, cut into segments: Whisper's rules, and that reading always goes on."""

from __future__ import annotations

import pytest
from attendant.tasks.segments import Cut, Piece, cut, whole
from hypothesis import given, settings
from hypothesis import strategies as st

T = 100  # the first timestamp
WINDOW = 1500


def test_an_answer_without_timestamps_is_one_segment() -> None:
    found = cut([1, 2, 3], T, WINDOW)
    assert found.pieces == (Piece(0, WINDOW, (1, 2, 3), (1, 2, 3)),)
    assert found.advance == WINDOW
    assert cut([], T, 7).pieces == (Piece(0, 7, (), ()),)


def test_timestamps_that_nobody_asked_for_are_left_out() -> None:
    assert whole([1, T, T, 2], T, 9) == Cut((Piece(0, 9, (1, 2), (1, 2)),), 9)


def test_pairs_part_segments_and_what_follows_the_last_is_heard_again() -> None:
    found = cut([T, 1, 2, T + 50, T + 60, 3, T + 90, T + 95, 4, 5], T, WINDOW)
    assert [(p.start, p.end, p.tokens) for p in found.pieces] == [(0, 50, (1, 2)), (60, 90, (3,))]
    assert found.pieces[1].spoken == (T + 60, 3, T + 90)
    assert found.advance == 90


def test_an_answer_that_ends_with_one_timestamp_has_heard_everything() -> None:
    found = cut([T, 1, T + 50, T + 50, 2, T + 80], T, WINDOW)
    assert [(p.start, p.end, p.tokens) for p in found.pieces] == [(0, 50, (1,)), (50, 80, (2,))]
    assert found.advance == WINDOW


@pytest.mark.parametrize(("tokens", "end"), [([T, 1, T + 50], 50), ([T, 1, 2], WINDOW), ([T + 5, 1], 5)])
def test_an_answer_without_a_pair_is_one_segment(tokens: list[int], end: int) -> None:
    found = cut(tokens, T, WINDOW)
    assert [(p.start, p.end) for p in found.pieces] == [(0, end)]
    assert found.advance == WINDOW


def test_nothing_ends_after_the_sound() -> None:
    found = cut([T, 1, T + 50, T + 50, 2, T + 80, T + 80], T, 60)
    assert [(p.start, p.end) for p in found.pieces] == [(0, 50), (50, 60)]
    assert found.advance == 60


def test_no_progress_skips_the_window() -> None:
    assert cut([T, T, 1, 2], T, WINDOW).advance == WINDOW


TOKENS = st.lists(st.one_of(st.integers(0, T - 1), st.integers(T, T + WINDOW)), max_size=30)


@given(TOKENS, st.integers(1, WINDOW))
def test_any_answer_advances_and_never_goes_back(tokens: list[int], length: int) -> None:
    found = cut(tokens, T, length)
    assert 1 <= found.advance <= length
    place = 0
    for piece in found.pieces:
        assert place <= piece.start <= piece.end <= length
        place = piece.end
    text = [token for piece in found.pieces for token in piece.tokens]
    assert text == [token for token in tokens if token < T][: len(text)]
    assert found.advance == length or found.advance == place


@st.composite
def lawful(draw: st.DrawFn) -> list[int]:
    """An answer as the rule for timestamps allows it: pairs, never back, cut off anywhere."""
    tokens, now = [T], 0
    for _ in range(draw(st.integers(0, 5))):
        tokens += draw(st.lists(st.integers(0, T - 1), min_size=1, max_size=3))
        now = draw(st.integers(now + 1, now + 100))
        tokens.append(T + now)
        if draw(st.booleans()):
            now = draw(st.integers(now, now + 100))
        tokens.append(T + now)
    return tokens[: draw(st.integers(1, len(tokens)))]


@settings(deadline=None)  # the first example pays for importing torch
@given(lawful(), st.integers(1, 1200))
def test_lawful_answers_are_cut_as_transformers_does(tokens: list[int], length: int) -> None:
    torch = pytest.importorskip("torch")
    whisper = pytest.importorskip("transformers.models.whisper.generation_whisper")
    segments, offset = whisper.WhisperGenerationMixin._retrieve_segment(
        seek_sequence=torch.tensor(tokens),
        seek_outputs=[{}],
        time_offset=torch.zeros(1, dtype=torch.float64),
        timestamp_begin=T,
        seek_num_frames=torch.tensor([2 * length]),
        time_precision=0.02,
        time_precision_features=0.01,
        input_stride=2,
        prev_idx=0,
        idx=0,
        return_token_timestamps=False,
        decoder_input_ids=torch.zeros((1, 1)),
    )
    found = cut(tokens, T, length)
    text = [[t for t in s["tokens"].tolist() if t < T] for s in segments]
    assert [list(piece.tokens) for piece in found.pieces] == text
    for piece, segment in zip(found.pieces, segments, strict=True):
        assert piece.start == min(round(float(segment["start"]) / 0.02), length)
        end = min(round(float(segment["end"]) / 0.02), length)
        assert end == piece.end or (end + 1 == piece.end == length), "theirs may round the window's length down"
    assert found.advance == (min(int(offset), 2 * length) // 2 or length)
