"""Strangers have an environment of their own, tell values as they had them, and fail with their own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.strangers.environments import TRITON, environment
from tests.strangers.speak.carry import from_json, to_json
from tests.strangers.stranger import Stranger, stranger


@pytest.fixture(scope="module")
def nobody() -> Iterator[Stranger]:
    """Triton's client of a server that is not there."""
    with stranger(TRITON, "by_tritonclient.py", "127.0.0.1:1") as made:
        yield made


def test_it_is_the_client_that_was_asked_for_beside_a_protobuf_that_is_not_ours(nobody: Stranger) -> None:
    found = nobody.ask("versions")
    assert f"tritonclient[grpc]=={found['tritonclient']}" in TRITON.packages
    assert int(found["protobuf"].partition(".")[0]) < 7


def test_what_it_raises_is_told_and_it_goes_on(nobody: Stranger) -> None:
    with pytest.raises(AssertionError, match="no attribute 'fly'"):
        nobody.ask("call", method="fly")
    assert nobody.ask("call", method="is_server_live")["status"] == "StatusCode.UNAVAILABLE"
    assert nobody.ask("versions")


def test_values_come_over_as_they_were() -> None:
    texts = np.array([["ä".encode(), b"\x00"], [b"", None]], object)
    value = {"half": np.array([[1.5, -2]], np.float16), "texts": texts, "raw": b"\xff", "list": [1, "a", {"b": None}]}
    back = from_json(to_json(value))
    assert back["half"].dtype == np.float16
    assert back["half"].tolist() == [[1.5, -2.0]]
    assert back["texts"].tolist() == texts.tolist()
    assert (back["raw"], back["list"]) == (b"\xff", [1, "a", {"b": None}])


def test_a_package_that_cannot_be_had_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    left = TRITON.folder() / "left by one that was killed"
    left.mkdir(parents=True)
    with pytest.raises(pytest.skip.Exception, match="tritonclient"):
        environment(TRITON)
    assert not left.exists()
