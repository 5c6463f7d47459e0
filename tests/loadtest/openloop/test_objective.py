"""Whether a target is met, by requests and by tokens, and when it is certain that it will not be."""

from __future__ import annotations

import pytest
from attendant_loadtest.openloop.figures import Client, Times, gaps_of
from attendant_loadtest.openloop.objective import Objective, seconds_of
from attendant_loadtest.openloop.samples import ANSWERED, CANCELLED, FAILED, OPEN, REFUSED, Sample
from attendant_loadtest.schedule.planned import BadSchedule, Planned, Segment


def sample(*moments: float, at_s: float = 0.0, how: str = ANSWERED, answer: int = 4) -> Sample:
    """Tokens that came at these moments."""
    made = Sample(Planned(at_s, (Segment(1, 4),), answer), sent_s=at_s, how=how)
    for moment in moments:
        made.take(moment, 1)
    made.end_s = moments[-1] if moments else at_s
    return made


def test_times_are_written_as_people_do() -> None:
    assert [seconds_of(text) for text in ("300ms", "1.5s", "2", "50 ms".replace(" ", ""), "250us")] == pytest.approx(
        [0.3, 1.5, 2, 0.05, 0.00025]
    )
    for wrong in ("", "soon", "0ms", "-3s", "3m", "1e3", "inf"):
        with pytest.raises(BadSchedule, match="a time is"):
            seconds_of(wrong)


def test_first_tokens_and_gaps_are_held_to_their_times() -> None:
    objective = Objective(ttft_s=0.3, itl_s=0.05, share=0.9)
    fast, slow = sample(0.1, 0.12, 0.14), sample(0.4, 0.42)
    assert objective.met([fast] * 9 + [slow])
    assert not objective.met([fast] * 8 + [slow] * 2)
    assert not objective.met([]), "nothing is known of nothing"
    halting = sample(0.1, 0.2, 0.21)
    assert objective.misses([fast, halting]) == (0, 1)
    assert objective.met([fast] * 9 + [halting] * 2)
    assert not objective.met([fast] * 3 + [halting] * 2)


def test_what_was_refused_or_failed_is_a_miss() -> None:
    objective = Objective(itl_s=0.05, share=0.5)
    assert objective.misses([sample(how=REFUSED), sample(0.1, how=FAILED), sample(0.1, how=CANCELLED)]) == (2, 0)
    assert not objective.met([sample(how=REFUSED), sample(0.1, how=FAILED), sample(0.1)])


def test_goodput_takes_the_mean_of_gaps() -> None:
    objective = Objective(ttft_s=0.3, itl_s=0.05)
    assert objective.good(sample(0.1, 0.17, 0.19, 0.21)), "one is late, their mean is not"
    assert not objective.good(sample(0.1, 0.17))
    assert not objective.good(sample(0.31, 0.32))
    assert not objective.good(sample(0.1, how=FAILED))
    assert objective.good(sample(0.1)), "one token has no gap"


def test_what_is_lost_is_known_before_the_end() -> None:
    objective = Objective(ttft_s=0.3, share=0.75)
    waiting = [sample(at_s=0.0, how=OPEN) for _ in range(4)]
    assert not objective.hopeless(waiting, 0.2)
    assert objective.hopeless(waiting, 0.4)
    unsent = [Sample(Planned(9.0, (Segment(1, 4),), 1)) for _ in range(20)]
    assert not objective.hopeless(waiting + unsent, 0.4), "those that come may make it good"
    assert not Objective(itl_s=1.0).hopeless(waiting, 99.0)
    gaps = Objective(itl_s=0.01, share=0.9)
    assert not gaps.hopeless([sample(0.1, 0.2, how=OPEN, answer=100)], 1)
    assert gaps.hopeless([sample(0.1, 0.2, how=OPEN, answer=4)], 1)


def test_tokens_of_one_message_share_its_gap() -> None:
    made = sample(0.1)
    made.take(0.3, 4)
    assert gaps_of([made]).tolist() == pytest.approx([0.05] * 4)
    assert made.itl_s == pytest.approx(0.05)
    assert Objective(itl_s=0.04).misses([made]) == (0, 4)


def test_percentiles_lie_between_values() -> None:
    times = Times.of([0.001 * n for n in range(1, 102)])
    assert times is not None
    assert times.by_percentile == pytest.approx({50: 51, 90: 91, 95: 96, 99: 100})
    assert Times.of([]) is None


def test_a_client_may_be_late_by_little_beside_what_it_measures() -> None:
    assert Client(5.0, 10.0, 0.5).bottleneck == ""
    assert "12 ms late" in Client(12.0, 10.0, 0.5).bottleneck
    assert "95% of a processor" in Client(5.0, 10.0, 0.95).bottleneck


@pytest.mark.parametrize("share", [0, 1, 1.5, -1])
def test_a_share_that_is_none_is_named(share: float) -> None:
    with pytest.raises(BadSchedule, match="between 0 and 1"):
        Objective(share=share)
