"""Pictures, PNG and SVG: every view has one, it says what it shows, and the same view gives the same file."""

from __future__ import annotations

import builtins
import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from attendant.client.explain.figure import MOST_PANELS, PicturesUnavailable, picture
from attendant.client.explain.patches import grid_of, veiled
from attendant.client.explain.views import Layer, View
from PIL import Image

from tests.cli.explain.examples import VIEWS, alike, answered, attributed, heads, heard, seen, steps

pytest.importorskip("matplotlib", reason="attendant[explain] is not installed")


def words(views: list[View]) -> list[str]:
    """All texts of an SVG: they are there as texts, not as outlines."""
    root = ElementTree.fromstring(picture(views, "svg"))
    return ["".join(part.itertext()).strip() for part in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_view_has_a_picture(view: View) -> None:
    with Image.open(io.BytesIO(picture([view], "png"))) as image:
        assert image.format == "PNG"
        assert min(image.size) > 100
    assert picture([view], "svg") == picture([view], "svg")


def test_a_matrix_names_rows_and_columns() -> None:
    found = words([answered()])
    assert {"“ Tea”", "“.”", "<s>", "Tea", " or".strip(), "mean of all layers and heads"} <= set(found)
    assert {"50", "12", "25"} <= set(found), "small matrices have their numbers"
    assert "tea: what the answer looked at" in found
    assert any("is taken out" in each for each in found)


def test_small_multiples_name_layer_and_head_and_what_got_most() -> None:
    found = words([heads()])
    assert [each for each in found if each.startswith("layer")] == [
        f"layer {layer}, head {head}" for layer in range(2) for head in range(3)
    ]
    means = heads().layers[0].weights.mean(axis=1)  # [heads, keys]
    first = heads().keys[int(means[0].argmax())].text
    assert next(each for each in found if each.startswith("most: ")) == f"most: “{first}”"


def test_a_recording_has_seconds_up_to_its_end() -> None:
    found = words([heard()])
    assert "seconds" in found
    seconds = [float(each) for each in found if each.replace(".", "").isdigit()]
    assert max(seconds) == pytest.approx(2.2, abs=0.25), "the window's silence is left out"


def test_words_that_spoke_against_are_told_by_sign_and_colour() -> None:
    found = words([attributed()])
    assert {"+1.50", "+0.00", "-0.75"} <= {each.replace("\N{MINUS SIGN}", "-") for each in found}
    assert {"Tea", "."} <= set(found), "tokens of the answer"


def test_attention_and_occlusion_stand_side_by_side() -> None:
    found = words([answered(), attributed()])
    assert {"attention: where the model looked", "left out: change of the log-probability"} <= set(found)
    assert {"31 %", "6 %", "50 %"} <= set(found), "means over both tokens of the answer, as tests of views have them"


def test_other_views_say_their_numbers() -> None:
    assert {"1.00", "0.90", "0.25", "0.50"} <= set(words([alike()]))
    assert {"10.0 ms", "90.0 ms", "tokenise", "decode"} <= set(words([steps()]))
    assert "50" in words([seen()])


def test_a_veil_is_thin_where_the_model_looked() -> None:
    shares = grid_of(seen(), seen().layers[0].weights[0])
    np.testing.assert_allclose(shares, [[0.125, 0.25], [0.5, 0.125]])
    black = veiled(np.zeros((8, 8, 3), np.uint8), shares)[..., 0]  # [8, 8]
    assert (black[4:, :4] == 0).all(), "none over the largest"
    assert black[0, 0] > black[0, 7] > 0


def test_what_cannot_be_drawn_is_told() -> None:
    many = answered(*(Layer(number, (), answered().layers[0].weights) for number in range(MOST_PANELS + 1)))
    for view in (many, answered(Layer(0, tuple(range(99)), np.repeat(answered().layers[0].weights, 99, axis=0)))):
        with pytest.raises(PicturesUnavailable, match="too many for one picture; allowed: up to 64"):
            picture([view], "png")
    with pytest.raises(PicturesUnavailable, match="do not go together"):
        picture([alike(), steps()], "svg")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PicturesUnavailable, match=r"pip install 'attendant\[explain\]'"):
        picture([answered()], "svg")
