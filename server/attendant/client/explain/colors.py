"""Which colour stands for which weight: one hue from light to dark, so that lightness alone tells, to every eye."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]

BLACK: RGB = (0, 0, 0)
WHITE: RGB = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Colours between that of 0 and that of 1, in equal steps for the eye: along a line in Björn Ottosson's OKLab, as
    CSS's ``color-mix(in oklab)`` goes."""

    low: RGB
    high: RGB

    def at(self, share: float) -> RGB:
        """The colour of a share; below 0 and above 1 that of the end."""
        share = min(max(share, 0.0), 1.0)
        ends = zip(_to_oklab(self.low), _to_oklab(self.high), strict=True)
        return _from_oklab(*(low + share * (high - low) for low, high in ends))


HEAT = Ramp((252, 253, 255), (8, 40, 104))
"""Of matrices on paper: from nearly white to deep blue."""
AGAINST = Ramp((252, 253, 255), (150, 62, 0))
"""Beside ``HEAT``, of what spoke against: to burnt orange. People who do not see red or green see blue and orange."""
LIGHT = Ramp((255, 255, 255), (106, 165, 232))
"""Behind black letters."""
LIGHT_AGAINST = Ramp((255, 255, 255), (240, 152, 74))
"""Behind black letters, of what spoke against."""
DARK = Ramp((20, 22, 27), (36, 98, 168))
"""Behind white letters."""
DARK_AGAINST = Ramp((20, 22, 27), (150, 74, 16))
"""Behind white letters, of what spoke against."""


def luminance(color: RGB) -> float:
    """Relative luminance, 0 to 1, as WCAG 2.2 defines it."""
    red, green, blue = map(_linear, color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: RGB, other: RGB) -> float:
    """Contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it. Text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(background: RGB) -> RGB:
    """Black or white, whichever is easier to read there. The better of the two has a contrast of 4.58 or more."""
    return max((BLACK, WHITE), key=lambda color: contrast(color, background))


def css(color: RGB) -> str:
    """A colour as CSS and SVG have it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _encoded(share: float) -> int:
    share = min(max(share, 0.0), 1.0)
    value = 12.92 * share if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return round(255 * value)


def _to_oklab(color: RGB) -> tuple[float, float, float]:
    red, green, blue = map(_linear, color)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def _from_oklab(lightness: float, a: float, b: float) -> RGB:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _encoded(4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short),
        _encoded(-1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short),
        _encoded(-0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short),
    )
