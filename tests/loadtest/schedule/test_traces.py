"""Traces are read as they are published; a wrong line is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from attendant_loadtest.schedule.arrivals import Poisson
from attendant_loadtest.schedule.lengths import Fixed, Uniform
from attendant_loadtest.schedule.mix import OWN, Families, Mix, plan
from attendant_loadtest.schedule.planned import BadSchedule, Planned, Segment
from attendant_loadtest.schedule.traces import FORMS, read_trace, write_native

MOONCAKE = """\
{"timestamp": 0, "input_length": 2290, "output_length": 316, "hash_ids": [0, 42, 43, 44, 45]}
{"timestamp": 3000, "input_length": 915, "output_length": 355, "hash_ids": [0, 462]}
{"timestamp": 5999, "input_length": 1053, "output_length": 26, "hash_ids": [0, 773, 774]}
{"timestamp": 6001, "input_length": 28, "output_length": 0, "hash_ids": [298]}
{"timestamp": 6002, "input_length": 9, "output_length": 2}
"""

BURSTGPT = """\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,230,1317,Conversation log
60,ChatGPT,300,0,300,API log
118,GPT-4,417,276,693,Conversation log
"""

BURSTGPT_WITH_SESSIONS = """\
Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
19440110.0,1722ac82-0a46-4bf0-aa08-89794e7a2b3f,43,GPT-4,906,446,1352,Conversation log
19440161.0,d5983bf9-4b48-497b-892b-a58995247443,2,ChatGPT,36,29,65,Conversation log
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace"
    path.write_text(text, encoding="utf-8")
    return path


def test_mooncake(tmp_path: Path) -> None:
    path = written(tmp_path, MOONCAKE)
    schedule = read_trace("mooncake", path)
    assert [each.at_s for each in schedule] == [0, 3, 5.999, 6.001, 6.002]
    assert [each.prompt for each in schedule] == [2290, 915, 1053, 28, 9]
    assert [each.answer for each in schedule] == [316, 355, 26, 1, 2]
    assert schedule[1].segments == (Segment(0, 512), Segment(462, 403))
    assert len({each.segments[0] for each in schedule[:3]}) == 1, "they begin alike"
    assert schedule[4].segments == (Segment(OWN + 4, 9),)
    assert read_trace("mooncake", path, 2) == schedule[:2]


def test_burstgpt(tmp_path: Path) -> None:
    schedule = read_trace("burstgpt", written(tmp_path, BURSTGPT))
    assert [(each.at_s, each.prompt, each.answer) for each in schedule] == [
        (0, 472, 18),
        (40, 1087, 230),
        (113, 417, 276),
    ]
    assert len({each.segments[0].key for each in schedule}) == 3
    later = read_trace("burstgpt", written(tmp_path, BURSTGPT_WITH_SESSIONS), 9)
    assert [(each.at_s, each.prompt, each.answer) for each in later] == [(0, 906, 446), (51, 36, 29)]


def test_our_own_loses_nothing(tmp_path: Path) -> None:
    mix = Mix(Uniform(5, 50), Uniform(2, 9), Families(3, Fixed(20)), {0: 1, -5: 1}, 1.5, cancels=0.5)
    schedule = plan(Poisson(50), mix, 2, 3)
    path = tmp_path / "trace"
    write_native(path, schedule)
    assert read_trace("native", path) == schedule


def test_our_own_may_be_short(tmp_path: Path) -> None:
    schedule = read_trace(
        "native", written(tmp_path, '{"at_s": 2, "prompt": 7, "answer": 3}\n\n{"at_s": 1, "prompt": 5, "answer": 1}\n')
    )
    assert schedule == (Planned(1, (Segment(OWN + 1, 5),), 1), Planned(2, (Segment(OWN, 7),), 3))


@pytest.mark.parametrize(
    ("form", "text", "says"),
    [
        ("mooncake", "nonsense\n", "trace:1: the line is 'nonsense'"),
        ("mooncake", "[1]\n", "an object of JSON"),
        ("mooncake", '{"timestamp": 0, "output_length": 1}\n', "input_length is None"),
        ("mooncake", '{"timestamp": 0, "input_length": 0, "output_length": 1}\n', "input_length is 0"),
        ("mooncake", '{"timestamp": -1, "input_length": 4, "output_length": 1}\n', "timestamp is -1"),
        ("mooncake", '{"timestamp": true, "input_length": 4, "output_length": 1}\n', "timestamp is True"),
        ("mooncake", '{"timestamp": 0, "input_length": 4.5, "output_length": 1}\n', "input_length is 4.5"),
        ("mooncake", '{"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [1, 2]}\n', "than 512"),
        ("mooncake", '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": "1"}\n', "a list of numbers"),
        ("burstgpt", "a,b\n1,2\n", "no column 'Timestamp'"),
        ("burstgpt", BURSTGPT + "later,ChatGPT,1,2,3,API log\n", "trace:6: Timestamp is 'later'"),
        ("burstgpt", BURSTGPT + "130,ChatGPT\n", "Request tokens is None"),
        ("native", '{"at_s": 0, "prompt": 1, "answer": 1, "speed": 3}\n', "a name is 'speed'"),
        ("native", '{"at_s": 0, "answer": 1}\n', "segments, or prompt"),
        ("native", '{"at_s": 0, "prompt": 1, "segments": [[1, 2]], "answer": 1}\n', "segments, or prompt"),
        ("native", '{"at_s": 0, "segments": [[1]], "answer": 1}\n', "pairs of a key"),
        ("native", '{"at_s": 0, "segments": [], "answer": 1}\n', "one pair at least"),
        ("native", '{"at_s": 0, "segments": [[1, 0]], "answer": 1}\n', "a segment is 0"),
        ("native", '{"at_s": 0, "prompt": 1, "answer": 0}\n', "answer is 0"),
        ("native", '{"at_s": 0, "prompt": 1, "answer": 1, "priority": 101}\n', "priority is 101"),
        ("native", '{"at_s": 0, "prompt": 1, "answer": 1, "deadline_s": 0}\n', "deadline_s is 0"),
        ("native", '{"at_s": 0, "prompt": 1, "answer": 1, "cancel_after": 0}\n', "cancel_after is 0"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(form: str, text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadSchedule, match=says.replace("[", r"\[")):
        read_trace(form, written(tmp_path, text))


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_has_nothing_to_read_is_named(form: str, tmp_path: Path) -> None:
    header = BURSTGPT.splitlines()[0] if form == "burstgpt" else ""
    with pytest.raises(BadSchedule, match="has no requests"):
        read_trace(form, written(tmp_path, header))
    with pytest.raises(BadSchedule, match="cannot be read: No such file"):
        read_trace(form, tmp_path / "nothing")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\n")
    with pytest.raises(BadSchedule, match="is not UTF-8"):
        read_trace(form, tmp_path / "latin")
