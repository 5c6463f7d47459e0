"""Memory in thought: whoever leaves gives back what it was given, however long it stayed."""

from __future__ import annotations

from attendant.engine.foreseen_rows import Rows
from attendant.engine.step_rules import Course, StepRules
from hypothesis import given
from hypothesis import strategies as st

RULES = StepRules(max_num_seqs=8, kv_tokens=1024, page_tokens=32)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40), st.integers(1, 3), st.integers(0, 50)), max_size=40),
    st.booleans(),
)
def test_what_came_and_went_leaves_nothing(visitors: list[tuple[int, int, int, int]], ends: bool) -> None:
    """One that stays has what it had alone, whoever was there meanwhile, and ended or lost its place."""
    stays, alone = Course(1, 0, 5_000), Rows(RULES)
    beside = Rows(RULES)
    for rows in (alone, beside):
        rows.place(stays)
        rows.begin(0, stays, 1, 5_000)
    for number, (prompt, steps, num_rows, generated) in enumerate(visitors, 1):
        visitor = Course(prompt, 0, steps + (not ends), rows=num_rows, generated=generated)
        beside.place(visitor)
        beside.begin(number, visitor, prompt, steps + (not ends))
        assert list(beside.advance(steps)) == ([number] if ends else [])
        if not ends:
            beside.give_up(number)
        list(alone.advance(steps))
    assert (beside.used, beside.num_rows, beside.num_placed) == (alone.used, alone.num_rows, alone.num_placed)
