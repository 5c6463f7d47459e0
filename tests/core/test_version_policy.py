"""Which versions a policy serves."""

from __future__ import annotations

import pytest
from attendant.core.repository import full_name, split_name, version_order
from attendant.core.version_policy import Policies, VersionPolicy


@pytest.mark.parametrize(
    ("text", "count", "candidates"),
    [
        ("latest:1", 1, ["10", "9", "2", "1"]),
        ("latest:3", 3, ["10", "9", "2", "1"]),
        ("all", None, ["10", "9", "2", "1"]),
        ("specific:1,9", None, ["9", "1"]),
        (" specific: 2 ", None, ["2"]),
        ("specific:7", None, []),
    ],
)
def test_a_policy_names_versions_newest_first(text: str, count: int | None, candidates: list[str]) -> None:
    policy = VersionPolicy.parse(text)
    assert policy.count == count
    assert policy.candidates(["1", "10", "2", "9"]) == candidates


@pytest.mark.parametrize("text", ["", "latest", "latest:0", "latest:-1", "latest:x", "all:1", "specific:", "newest"])
def test_what_is_no_policy_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="is no policy; allowed: latest:N"):
        VersionPolicy.parse(text)


def test_a_model_may_have_a_policy_of_its_own() -> None:
    policies = Policies.parse("latest:2; moods=all;demo = specific:1,3 ;")
    assert policies.of("anything") == VersionPolicy(2)
    assert policies.of("moods") == VersionPolicy(None)
    assert policies.of("demo") == VersionPolicy(None, frozenset({"1", "3"}))
    assert Policies.parse("").of("anything") == VersionPolicy(1)
    with pytest.raises(ValueError, match="'lots' is no policy"):
        Policies.parse("all; moods=lots")


def test_names_with_and_without_a_version() -> None:
    assert split_name("demo@2") == ("demo", "2")
    assert split_name("demo") == ("demo", "")
    assert (full_name("demo", "2"), full_name("demo")) == ("demo@2", "demo")
    assert sorted(["10", "9", "one", "1"], key=version_order) == ["one", "1", "9", "10"]
