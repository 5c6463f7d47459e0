"""Draws the pictures: one shape or texture on a background, in random colours, sizes, places and, a little, turns."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 48
_LARGE = 3 * SIZE  # drawn larger, then reduced, so that edges are smooth
_LEAST_CONTRAST = 70.0  # of brightness, out of 255
_TURN = math.radians(20)
_UPWARDS = -math.pi / 2
_BRIGHTNESS = (0.299, 0.587, 0.114)

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Drawing:
    """A picture, ``SIZE`` x ``SIZE`` pixels in mode RGB, and the label of what is on it. ``mask``: as large, in mode L,
    white where the shape is, black where the ground is."""

    image: Image.Image
    label: str
    mask: Image.Image


@dataclass(frozen=True)
class _Place:
    """Centre and radius in pixels, and a turn in radians."""

    x: float
    y: float
    radius: float
    turn: float

    def point(self, angle: float, distance: float = 1.0) -> tuple[float, float]:
        """The point at an angle from the turn, ``distance`` radii from the centre."""
        reach = self.radius * distance
        return self.x + reach * math.cos(self.turn + angle), self.y + reach * math.sin(self.turn + angle)


Painter = Callable[[ImageDraw.ImageDraw, random.Random, _Place], None]
"""Paints white on a black mask of ``_LARGE`` x ``_LARGE`` pixels in mode L."""


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: int = 255) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _circle(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    _disc(draw, place.x, place.y, place.radius)


def _ring(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    _disc(draw, place.x, place.y, place.radius)
    _disc(draw, place.x, place.y, place.radius * rng.uniform(0.5, 0.75), fill=0)


def _polygon(corners: int, first: float = _UPWARDS) -> Painter:
    """A regular one, whose first corner is at the angle ``first``."""

    def paint(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
        draw.polygon([place.point(first + 2 * math.pi * corner / corners) for corner in range(corners)], fill=255)

    return paint


def _star(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    inner = rng.uniform(0.38, 0.5)
    draw.polygon(
        [place.point(_UPWARDS + math.pi * tip / 5, 1.0 if tip % 2 == 0 else inner) for tip in range(10)], fill=255
    )


def _cross(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    half = rng.uniform(0.16, 0.28)  # of an arm's width, in radii
    upright = rng.choice([0.0, math.pi / 4])
    for angle in (upright, upright + math.pi / 2):
        tips: Points = []
        for end in (0.0, math.pi):
            side = math.atan2(half, 1.0)
            tips += [place.point(angle + end - side), place.point(angle + end + side)]
        draw.polygon(tips, fill=255)


def _stripes(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    width = rng.uniform(0.07, 0.16) * _LARGE
    place = replace(place, turn=rng.uniform(0, 2 * math.pi))
    reach = 1.5 * _LARGE
    across = (math.cos(place.turn), math.sin(place.turn))
    along = (-across[1] * reach, across[0] * reach)
    for index in range(-round(reach / width), round(reach / width), 2):
        edges = [
            (place.x + across[0] * step * width, place.y + across[1] * step * width) for step in (index, index + 1)
        ]
        (x0, y0), (x1, y1) = edges
        corners = [(x0 - along[0], y0 - along[1]), (x0 + along[0], y0 + along[1])]
        corners += [(x1 + along[0], y1 + along[1]), (x1 - along[0], y1 - along[1])]
        draw.polygon(corners, fill=255)


def _checkerboard(draw: ImageDraw.ImageDraw, rng: random.Random, place: _Place) -> None:
    cell = rng.uniform(0.1, 0.22) * _LARGE
    count = round(1.5 * _LARGE / cell)
    square = _polygon(4, math.pi / 4)
    for row in range(-count, count):
        for column in range(-count, count):
            if (row + column) % 2 == 0:
                x = place.x + cell * (column * math.cos(place.turn) - row * math.sin(place.turn))
                y = place.y + cell * (column * math.sin(place.turn) + row * math.cos(place.turn))
                if -cell < x < _LARGE + cell and -cell < y < _LARGE + cell:
                    square(draw, rng, _Place(x, y, cell / math.sqrt(2), place.turn))


_PAINTERS: dict[str, Painter] = {
    "circle": _circle,
    "ring": _ring,
    "triangle": _polygon(3),
    "square": _polygon(4, math.pi / 4),
    "star": _star,
    "cross": _cross,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
}
LABELS = tuple(_PAINTERS)


def drawings(seed: str | int, count: int) -> Iterator[Drawing]:
    """``count`` drawings, the labels in turn; the same for the same seed."""
    rng = random.Random(f"shapes {seed}")
    for index in range(count):
        label = LABELS[index % len(LABELS)]
        yield draw_one(label, rng)


def draw_one(label: str, rng: random.Random) -> Drawing:
    """A drawing of one of ``LABELS``."""
    radius = rng.uniform(0.3, 0.46) * _LARGE
    x, y = (rng.uniform(radius, _LARGE - radius) for _ in range(2))
    mask = Image.new("L", (_LARGE, _LARGE))
    _PAINTERS[label](ImageDraw.Draw(mask), rng, _Place(x, y, radius, rng.uniform(-_TURN, _TURN)))
    mask = mask.resize((SIZE, SIZE), Image.Resampling.BOX)
    front, back = _colours(rng)
    picture = Image.composite(_surface(front, rng), _surface(back, rng), mask)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    return Drawing(_with_noise(picture, rng), label, mask)


def _colours(rng: random.Random) -> tuple[Colour, Colour]:
    """Two that can be told apart by their brightness."""
    while True:
        front, back = (_colour(rng) for _ in range(2))
        if abs(_brightness(front) - _brightness(back)) >= _LEAST_CONTRAST:
            return front, back


def _brightness(colour: Colour) -> float:
    return sum(share * value for share, value in zip(_BRIGHTNESS, colour, strict=True))


def _colour(rng: random.Random) -> Colour:
    if rng.random() < 0.2:
        return rng.choice([(255, 255, 255), (0, 0, 0)])
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _surface(colour: Colour, rng: random.Random) -> Image.Image:
    """Plain, or a little lighter to one side."""
    if rng.random() < 0.6:
        return Image.new("RGB", (SIZE, SIZE), colour)
    steps = np.linspace(-1, 1, SIZE)
    angle = rng.uniform(0, 2 * math.pi)
    ramp = steps[:, None] * math.sin(angle) + steps[None] * math.cos(angle)  # [SIZE, SIZE]
    shades = np.asarray(colour) + rng.uniform(5, 35) * ramp[..., None]
    return Image.fromarray(shades.clip(0, 255).round().astype(np.uint8))


def _with_noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    strength = rng.choice([0.0, 0.0, rng.uniform(1, 12)])
    if strength == 0:
        return picture
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal((SIZE, SIZE, 3))
    noisy = np.asarray(picture) + strength * noise
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))
