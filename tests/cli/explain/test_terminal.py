"""What a terminal shows: shades where it has colours, bars or digits where it has none, numbers always."""

from __future__ import annotations

import io
import re

import pytest
from attendant.client.explain.colors import DARK, LIGHT
from attendant.client.explain.painter import Painter, depth_of, has_blocks, is_dark, padded, width
from attendant.client.explain.terminal import lines
from attendant.client.explain.views import View

from tests.cli.explain.examples import VIEWS, answered, attributed, heads, heard, seen

PLAIN = Painter("none", 80)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def shown(view: View, painter: Painter = PLAIN) -> str:
    return "\n".join(lines(view, painter))


def test_a_prompt_has_bars_below_it_and_the_answer_a_list() -> None:
    found = shown(answered()).splitlines()
    at = found.index("<s>Tea or coffee?")
    # Means of both rows: .3125 .0625 .25 .25 of at most .3125, in eighths
    assert found[at + 1] == "   ███▂▂▂▆▆▆▆▆▆▆▆"
    assert "   5  “ Tea”            50 % “Tea”, 25 % “ coffee”, 25 % “?”" in found
    assert "   6  “.”               25 % “ coffee”, 25 % “?”, 25 % “ Tea”" in found
    assert "The first token, “<s>”, is taken out" in " ".join(found)
    assert "Attention is where the model looked, not why it answered." in " ".join(found)


def test_colours_go_behind_the_letters() -> None:
    for dark, ramp, letters in ((True, DARK, "255;255;255"), (False, LIGHT, "0;0;0")):
        text = shown(answered(), Painter("true", 80, dark=dark))
        red, green, blue = ramp.high
        assert f"\x1b[48;2;{red};{green};{blue}m\x1b[38;2;{letters}mTea\x1b[0m" in text
        assert "█" not in text
    assert re.search(r"\x1b\[48;5;\d+m\x1b\[38;5;231mTea\x1b\[0m", shown(answered(), Painter("256", 80)))


def test_without_blocks_there_are_digits() -> None:
    found = shown(answered(), Painter("none", 80, blocks=False)).splitlines()
    assert found[found.index("<s>Tea or coffee?") + 1] == "000999222" + "7" * 8


def test_heads_are_shown_one_by_one() -> None:
    found = shown(heads()).splitlines()
    assert [line for line in found if line.startswith("layer")] == [
        f"layer {layer}, head {head}:" for layer in range(2) for head in range(3)
    ]


def test_patches_are_a_table_of_percents() -> None:
    found = shown(seen()).splitlines()
    assert "  12.5  25.0" not in found  # cells of seven characters each
    assert [line.split() for line in found if re.fullmatch(r"[ \d.]+", line) and line.strip()] == [
        ["12.5", "25.0"],
        ["50.0", "12.5"],
    ]


def test_frames_are_a_line_of_time() -> None:
    rows = [line for line in shown(heard()).splitlines() if line.startswith("“ ")]
    assert [row.split()[-2:] for row in rows] == [["1.00", "s"], ["2.00", "s"]]
    first, second = (row.index("█") for row in rows)
    assert 0 < first < second


def test_parts_have_signs() -> None:
    found = shown(attributed())
    assert re.search(r"Tea +\+1\.50  █{30}$", found, re.MULTILINE)
    assert re.search(r"coffee\? +-0\.75  █{15}$", found, re.MULTILINE)
    assert "Tea or coffee?\n███    -------" in found, "where there are no colours, - is what spoke against"
    assert "Log-probability of the answer with the whole input: -0.50." in found


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_fit_the_terminal(view: View, columns: int) -> None:
    shaded = [line for line in lines(view, Painter("none", columns)) if not re.match(r" *\d+  |[^ ]* +[-+]?\d", line)]
    assert max(map(width, shaded)) <= columns


def test_no_text_moves_the_cursor() -> None:
    from dataclasses import replace

    view = answered()
    evil = replace(view, keys=(*view.keys[:-1], replace(view.keys[-1], text="\x1b[2J")), text="", num_prompt=6)
    assert "\x1b" not in shown(evil)


def test_wide_letters_take_two_columns() -> None:
    assert width("東京") == 4
    assert width("é") == 1
    assert padded("東京 tower", 6) == "東京 …"
    assert [line for line in PLAIN.text([("ab", 1.0), ("東", 0.5)]) if line] == ["ab東", "██▄▄"]


@pytest.mark.parametrize(
    ("wanted", "stream", "environment", "depth"),
    [
        ("auto", io.StringIO(), {"TERM": "xterm-256color"}, "none"),
        ("auto", Terminal(), {"TERM": "xterm-256color"}, "256"),
        ("auto", Terminal(), {"TERM": "xterm", "COLORTERM": "truecolor"}, "true"),
        ("auto", Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, "none"),
        ("auto", Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, "256"),
        ("auto", Terminal(), {"TERM": "dumb"}, "none"),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, "256"),
        ("never", Terminal(), {"COLORTERM": "truecolor"}, "none"),
    ],
)
def test_colours_follow_the_terminal(wanted: str, stream: io.StringIO, environment: dict[str, str], depth: str) -> None:
    """NO_COLOR counts when it is there and not empty (no-color.org); what is asked for by a flag beats it."""
    assert depth_of(stream, wanted, environment) == depth


def test_a_terminal_is_dark_unless_it_says_so() -> None:
    assert is_dark("auto", {})
    assert is_dark("auto", {"COLORFGBG": "15;0"})
    assert not is_dark("auto", {"COLORFGBG": "0;15"})
    assert not is_dark("light", {"COLORFGBG": "15;0"})
    assert is_dark("dark", {"COLORFGBG": "0;15"})


def test_blocks_need_an_encoding_that_has_them() -> None:
    assert has_blocks(io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert not has_blocks(io.TextIOWrapper(io.BytesIO(), "ascii"))
