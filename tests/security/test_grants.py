"""Who is known by what: the file of callers, and looking up in it."""

from __future__ import annotations

import hmac
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256

import pytest
from attendant.core.caller import ANYONE, Caller, Right, acting_for, current_caller
from attendant.core.errors import ConfigurationError, NotPermitted
from attendant.rpc.vllm.aborts import Aborts
from attendant.security.grants import Grants
from attendant.security.new_token import line_of, new_token
from attendant.settings.callers import parse_callers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.authority import row


def test_a_token_is_known_by_its_hash_alone() -> None:
    known = Grants(parse_callers(row("me", "t1", ("infer", "admin"), ("chat-*", "embed@2")), "f"))
    found = known.of_token("t1")
    assert found is not None
    assert found.caller == Caller("me", frozenset({Right.INFER, Right.ADMIN}), ("chat-*", "embed@2"))
    assert found.expires_s == math.inf
    for other in ("", "t", "t1 ", "T1", sha256(b"t1").hexdigest(), "\udc80"):
        assert known.of_token(other) is None


def test_known_and_unknown_tokens_take_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    same = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return same(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    known = Grants(parse_callers(row("me", "t1"), "f"))
    for token in ("t1", "t2", "", "x" * 10_000):
        known.of_token(token)
    assert compared == [(32, 32)] * 4


def test_a_caller_may_have_several_tokens_and_a_certificate() -> None:
    text = row("me", "old") + row("me", "new") + "- {name: me, certificate: 'spiffe://a/b'}\n"
    known = Grants(parse_callers(text, "f"))
    assert len(known) == 3
    assert {known.of_token(each).caller.subject for each in ("old", "new")} == {"me"}
    assert known.of_certificate(["other", "spiffe://a/b"]).caller.subject == "me"
    assert known.of_certificate(["me"]) is None


@pytest.mark.parametrize(
    ("more", "expires_s"),
    [
        (", expires: 2027-01-31", datetime(2027, 2, 1, tzinfo=UTC).timestamp()),
        (", expires: 2027-01-31 12:00:00", datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp()),
        (", expires: 2027-01-31T12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC).timestamp()),
        ("", math.inf),
    ],
)
def test_a_day_ends_in_utc(more: str, expires_s: float) -> None:
    (found,) = parse_callers(row("me", "t", more=more), "f")
    assert found.expires_s() == expires_s


DIGEST = "0" * 63 + "a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: me", "f: must be a list"),
        ("- {name: me}", "f:1: [0]: has neither sha256 nor certificate"),
        (f"- {{name: me, sha256: '{DIGEST}', certificate: x}}", "has both sha256 and certificate"),
        ("- {name: me, sha256: 'abc'}", "f:1: [0].sha256: String should match"),
        (f"- {{name: 'a b', sha256: '{DIGEST}'}}", "f:1: [0].name: String should match"),
        (f"- {{sha256: '{DIGEST}'}}", "[0].name: Field required"),
        (f"\n- {{name: me, sha256: '{DIGEST}', scopes: [all]}}", "f:2: [0].scopes[0]: Input should be 'infer'"),
        (
            f"- {{name: me, sha256: '{DIGEST}', model: x}}",
            "[0].model: there is no such field here; there are name",
        ),
        (f"- {{name: me, sha256: '{DIGEST}', expires: soon}}", "[0].expires: is no date; allowed"),
        (
            f"- {{name: a, sha256: '{DIGEST}'}}\n- {{name: b, sha256: '{DIGEST}'}}",
            "f:2: [1]: is known by the same",
        ),
        (f"- {{name: a, name: b, sha256: '{DIGEST}'}}", "is there twice"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_callers(text, "f")
    assert words in str(caught.value)
    assert "abc" not in str(caught.value), "what was meant for a hash may be a token"


VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)


@settings(max_examples=50)
@given(
    name=st.text(VISIBLE, min_size=1, max_size=128),
    models=st.lists(st.text(VISIBLE, min_size=1, max_size=20), min_size=1, max_size=4),
    rights=st.lists(st.sampled_from(Right), unique=True),
    expires=st.none() | st.dates(),
)
def test_a_new_tokens_line_is_read_back(
    name: str, models: list[str], rights: Sequence[Right], expires: date | None
) -> None:
    token = new_token()
    (found,) = parse_callers(line_of(token, name, models, rights, expires), "f")
    assert (found.name, found.models, found.scopes, found.expires) == (name, tuple(models), tuple(rights), expires)
    assert Grants((found,)).of_token(token) is not None


def test_tokens_differ_and_have_256_bits() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == len("attendant-") + 43  # 6 bits a character


def test_patterns_permit_models_and_their_versions() -> None:
    caller = Caller("me", models=("chat-*", "embed@2"))
    may = {name: caller.may_use(name) for name in ("chat-a", "chat-a@7", "Chat-a", "embed", "embed@2", "embed@3")}
    assert may == {
        "chat-a": True, "chat-a@7": True, "Chat-a": False, "embed": False, "embed@2": True, "embed@3": False,
    }  # fmt: skip
    caller.check_model("")  # means one of those that it may use
    with pytest.raises(NotPermitted, match=r"'me' may not use model 'secret'; allowed: 'chat-\*', 'embed@2'"):
        caller.check_model("secret")


def test_what_nobody_asked_for_anyone_may() -> None:
    assert current_caller() is ANYONE
    with acting_for(Caller("me")):
        assert current_caller().subject == "me"
    assert current_caller() is ANYONE


def test_callers_end_their_own_calls_only() -> None:
    aborts = Aborts()
    ended: list[str] = []
    with aborts.listed("r1", "me") as mine, aborts.listed("r1", "you") as yours, aborts.listed("r1") as anyones:
        for name, abort in (("mine", mine), ("yours", yours), ("anyones", anyones)):
            abort.when_asked(partial(ended.append, name))
        aborts.end(["r1"], "you")
        assert ended == ["yours"]
        aborts.end(["r1", "r2"], "me")
        aborts.end(["r1"])
        assert ended == ["yours", "mine", "anyones"]
