"""Colours that can be read: contrast by WCAG, lightness that only falls, and two hues that nobody mixes up."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files

import numpy as np
import pytest
from attendant.client.explain.colors import (
    AGAINST,
    BLACK,
    DARK,
    DARK_AGAINST,
    HEAT,
    LIGHT,
    LIGHT_AGAINST,
    RGB,
    WHITE,
    Ramp,
    contrast,
    css,
    ink,
    luminance,
)

TEXT = 4.5  # what WCAG 2.2 asks of text (1.4.3, AA)
BESIDE = 3.0  # and of what is no text (1.4.11)
SHARES = np.linspace(0, 1, 101).tolist()


def parsed(color: str) -> RGB:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#0000ff", "#ffffff", 8.59),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    """Ratios that every checker of contrast gives."""
    assert contrast(parsed(one), parsed(other)) == pytest.approx(ratio, abs=0.005)
    assert contrast(parsed(other), parsed(one)) == contrast(parsed(one), parsed(other))


def test_a_ramp_goes_as_color_mix_does() -> None:
    """Values of CSS Color 4 and 5: color-mix(in oklab) of white and black, and of red and blue."""
    assert css(Ramp(WHITE, BLACK).at(0.5)) == "#636363"
    assert css(Ramp((255, 0, 0), (0, 0, 255)).at(0.5)) == "#8c53a2"
    for ramp in (HEAT, AGAINST, LIGHT, DARK):
        assert (ramp.at(-1), ramp.at(2)) == (ramp.low, ramp.high)


@pytest.mark.parametrize("ramp", [HEAT, AGAINST, LIGHT, LIGHT_AGAINST])
def test_more_is_darker_on_paper(ramp: Ramp) -> None:
    light = [luminance(ramp.at(share)) for share in SHARES]
    assert all(after < before for before, after in itertools.pairwise(light))


@pytest.mark.parametrize("ramp", [DARK, DARK_AGAINST])
def test_more_is_lighter_on_dark_ground(ramp: Ramp) -> None:
    light = [luminance(ramp.at(share)) for share in SHARES]
    assert all(after > before for before, after in itertools.pairwise(light))


@pytest.mark.parametrize(
    ("ramp", "letters"), [(LIGHT, BLACK), (LIGHT_AGAINST, BLACK), (DARK, WHITE), (DARK_AGAINST, WHITE)]
)
def test_letters_can_be_read_on_every_shade(ramp: Ramp, letters: RGB) -> None:
    assert min(contrast(ramp.at(share), letters) for share in SHARES) >= TEXT


@pytest.mark.parametrize("ramp", [HEAT, AGAINST])
def test_numbers_can_be_read_in_every_cell(ramp: Ramp) -> None:
    assert min(contrast(ramp.at(share), ink(ramp.at(share))) for share in SHARES) >= TEXT


VIENOT = {  # linear RGB to what people without long or middle cones see (Vienot, Brettel and Mollon 1999)
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("matrix", VIENOT.values(), ids=VIENOT)
@pytest.mark.parametrize("pair", [(HEAT, AGAINST), (LIGHT, LIGHT_AGAINST), (DARK, DARK_AGAINST)])
def test_for_and_against_are_told_apart_without_red_or_green(
    matrix: list[list[float]], pair: tuple[Ramp, Ramp]
) -> None:
    """To them, too, one is blue and the other yellow: the two lie on opposite sides of grey."""
    blue, yellow = (np.array(matrix) @ _linear(ramp.at(0.7)) for ramp in pair)
    assert blue[2] > 1.5 * blue[:2].mean()
    assert yellow[2] < 0.67 * yellow[:2].mean()


def _linear(color: RGB) -> np.ndarray:
    share = np.array(color) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def test_the_page_can_be_read_by_day_and_by_night() -> None:
    style = files("attendant.client.explain").joinpath("page.css").read_text(encoding="utf-8")
    found = dict(re.findall(r"--(\w+): light-dark\((#\w{6}, #\w{6})\)", style))
    grounds = (LIGHT.low, DARK.low)
    for name, least in {"ink": TEXT, "quiet": TEXT, "ring": BESIDE, "bar": BESIDE}.items():
        for color, ground in zip(found[name].split(", "), grounds, strict=True):
            assert contrast(parsed(color), ground) >= least, name
