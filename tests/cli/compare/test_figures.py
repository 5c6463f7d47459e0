"""Figures against values that were computed by hand."""

from __future__ import annotations

import json

import pytest
from attendant.client.compare.figures import (
    Agreement,
    Spread,
    accuracy,
    cosine,
    cost_per_1000,
    macro_f1,
    rank_agreement,
    word_f1,
)
from attendant.client.compare.page import page
from attendant.client.compare.report import Example, Report, Row, Section
from attendant.client.compare.speed import speed_section
from attendant.client.compare.timing import Clocked, Timed, take_turns
from hypothesis import given
from hypothesis import strategies as st


def test_quarters() -> None:
    assert Spread.of([]) is None
    assert Spread.of([3.0]) == Spread(3, 3, 3)
    assert Spread.of([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3, 2, 4)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("a b c", "a b c", 1), ("a b", "b a", 1), ("a a b", "a b b", 2 / 3), ("a", "b", 0), ("", "", 1), ("", "a", 0)],
)
def test_words_in_common(one: str, other: str, expected: float) -> None:
    assert word_f1(one, other) == pytest.approx(expected)


@given(st.text("ab "), st.text("ab "))
def test_words_in_common_do_not_depend_on_the_side(one: str, other: str) -> None:
    assert word_f1(one, other) == word_f1(other, one)
    assert 0 <= word_f1(one, other) <= 1


def test_agreement() -> None:
    found = Agreement.of([("a b c", "a b c"), ("a b", "a c"), ("x", "y"), ("a b c d", "a b c")])
    assert found.exact == 0.25
    assert found.overlap == pytest.approx((1 + 0.5 + 0 + 6 / 7) / 4)
    assert found.first_word == 1  # of 1, 0 and 3
    assert Agreement.of([("a", "a")]).first_word is None


def test_labels() -> None:
    found, right = ["a", "a", "b", "c"], ["a", "b", "b", "b"]
    assert accuracy(found, right) == 0.5
    # a: 2*1/(2+1); b: 2*1/(1+3); c: 0
    assert macro_f1(found, right) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_ranks() -> None:
    assert rank_agreement([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert rank_agreement([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # without ties: 1 - 6 * sum of squared differences / (n * (n * n - 1)), with ranks 1 2 3 4 and 2 1 4 3
    assert rank_agreement([1, 2, 3, 4], [2, 1, 9, 8]) == pytest.approx(1 - 6 * 4 / (4 * 15))
    # ties share their rank: 1.5 1.5 3 against 1 2 3, whose correlation is sqrt(3) / 2
    assert rank_agreement([5, 5, 7], [1, 2, 3]) == pytest.approx(3**0.5 / 2)
    assert rank_agreement([1, 1], [1, 2]) is None
    assert rank_agreement([1], [1]) is None


def test_cosines_and_costs() -> None:
    assert cosine([3, 4], [4, 3]) == pytest.approx(24 / 25)
    assert cosine([0, 0], [1, 1]) == 0
    assert cost_per_1000(0.9, 4) == pytest.approx(1)


def test_turns_change_who_begins() -> None:
    order: list[str] = []

    def ask(name: str, index: int) -> Timed:
        order.append(f"{name}{index}")
        return Timed(0.5, 3, 0.1, 0.2)

    clocks = take_turns([lambda i: ask("a", i), lambda i: ask("b", i)], 2, 3, 1)
    assert order == ["a0", "a1", "b0", "b1", "b0", "b1", "a0", "a1", "a0", "a1", "b0", "b1"]
    assert [len(clock.requests) for clock in clocks] == [6, 6]
    assert clocks[0].num_tokens == [6, 6, 6]


def clocked(seconds: list[float]) -> Clocked:
    clock = Clocked()
    for each in seconds:
        clock.take([Timed(each / 2, 10, 0.01, 0.002)] * 2, each)
    return clock


def test_speed_is_the_median_of_rounds_and_requests() -> None:
    section = speed_section([clocked([1, 2, 4]), clocked([1, 1, 1])], 1, 3.6)
    rows = {row.name: row for row in section.rows}
    assert rows["tokens a second"].values == (10, 20)
    assert rows["requests a second"].values == (1, 2)
    assert rows["whole answer"].values == (1000, 500)
    assert rows["first token"].values == (10, 10)
    assert rows["machine time of 1,000 requests"].values == pytest.approx((7000 / 6, 500))
    assert rows["cost of 1,000 requests"].values == pytest.approx((7000 / 6 / 1000, 0.5))
    assert rows["tokens a second"].winner == 1
    assert rows["first token"].winner is None


REPORT = Report(
    ("big <one>", "small"),
    ("fp32", "int4"),
    2,
    [Section("Answers", (Row("equal answers", (0.5,), "%"), Row("speed", (1.0, 2.5), "ms", "less")), "a note")],
    [Example("What <b>?", ("this & that", "that"))],
)


def test_the_table() -> None:
    assert list(REPORT.lines()) == [
        "2 prompts",
        "",
        "Answers          big <one> (fp32)  small (int4)",
        "equal answers               50.0%",
        "speed                        1 ms        2.5 ms  <",
        "  a note",
    ]


def test_the_page_needs_nothing_and_shows_texts_as_they_are() -> None:
    text = page(REPORT)
    assert "big &lt;one&gt;" in text
    assert "What &lt;b&gt;?" in text
    assert "this &amp; that" in text
    assert "http" not in text
    assert "src=" not in text
    assert text.count('<td class="best">1 ms &#10003;') == 1
    assert "prefers-color-scheme: dark" in text


def test_json_has_numbers() -> None:
    assert json.loads(json.dumps(REPORT.dictionary()))["sections"][0]["rows"][1]["values"] == [1.0, 2.5]
