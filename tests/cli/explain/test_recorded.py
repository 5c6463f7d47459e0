"""Views as JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attendant.client.explain.recorded import NotRecorded, from_json, to_json
from attendant.client.explain.views import Attention, Similarity, View, part_weights

from tests.cli.explain.examples import VIEWS, answered, attributed


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_what_was_recorded_comes_back(view: View) -> None:
    line = to_json(view)
    assert "\n" not in line
    found = from_json(line)
    assert type(found) is type(view)
    assert to_json(found) == line
    if isinstance(view, Attention):
        assert isinstance(found, Attention)
        assert (found.rows, found.keys, found.grid, found.image) == (view.rows, view.keys, view.grid, view.image)
        for one, other in zip(found.panels(), view.panels(), strict=True):
            assert one.title == other.title
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)
    elif isinstance(view, Similarity):
        assert isinstance(found, Similarity)
        np.testing.assert_allclose(found.cosines, view.cosines, atol=1e-5)
    else:
        assert found == view


def test_what_is_no_view_is_told() -> None:
    good = json.loads(to_json(answered()))
    lame = {**good, "layers": [{**good["layers"][0], "weights": [[[0.5]]]}]}
    for line in ("", "nothing", "[]", "{}", '{"view": "smell"}', '{"view": "steps"}', json.dumps(lame)):
        with pytest.raises(NotRecorded, match="attendant explain --json"):
            from_json(line)


def test_a_part_gets_what_its_tokens_get() -> None:
    """The mean of both rows; a token that begins with the space before a word belongs to the word."""
    shares = part_weights(answered(), attributed().parts)
    np.testing.assert_allclose(shares, [(0.5 + 0.125) / 2, 0.125 / 2, 0.25 + 0.25])
