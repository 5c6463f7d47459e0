"""The door: what a call has to show, what refuses it, and what is written of that."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from attendant.core.caller import Right
from attendant.core.errors import NotPermitted, Unauthenticated
from attendant.metrics.security import SecurityMetrics
from attendant.security.door import Door, Shown, bearer_token
from attendant.security.grants import Grants
from attendant.security.kept import Kept
from attendant.security.refusals import MOST_HOSTS, MOST_LINES, QUIET_S, Refusals
from attendant.settings.callers import parse_callers
from prometheus_client import CollectorRegistry

from tests.security.authority import row

TEXT = (
    row("me", "mine")
    + row("watcher", "seen", ("metrics",))
    + row("late", "old", more=", expires: 2020-01-01")
    + "- {name: gateway, certificate: gw.example}\n"
)


class Watched:
    """A door, its figures, and a clock that only the test moves."""

    def __init__(self, text: str | None = TEXT, *, certificates: bool = False) -> None:
        self.registry = CollectorRegistry()
        self.now_s = 0.0
        self.refusals = Refusals(SecurityMetrics(self.registry), lambda: self.now_s)
        kept = None if text is None else Kept("callers", (), lambda: Grants(parse_callers(text, "f")))
        self.door = Door(kept, self.refusals, certificates=certificates)

    def ask(self, token: str | None, *names: str, right: Right | None = Right.INFER) -> Any:
        shown = Shown(token, lambda: names, "ipv4:10.0.0.1:5", "/x/Y", "r1")
        return self.door.admit(shown, right)

    def refused(self, reason: str) -> float:
        return self.registry.get_sample_value("attendant_auth_refusals_total", {"reason": reason}) or 0.0


@pytest.mark.parametrize(
    ("token", "names", "reason"),
    [
        (None, (), "missing"),
        ("", (), "malformed"),
        ("nobody's", (), "unknown"),
        ("old", (), "expired"),
        (None, ("other.example",), "unknown"),
        ("nobody's", ("gw.example",), "unknown"),  # what is wrong is not made good by something else
    ],
)
def test_who_is_not_known_is_refused(token: str | None, names: tuple[str, ...], reason: str) -> None:
    watched = Watched(certificates=bool(names))
    with pytest.raises(Unauthenticated, match="authorization: Bearer TOKEN"):
        watched.ask(token, *names)
    assert watched.refused(reason) == 1
    if not names:
        assert watched.door.is_stranger(token)


def test_who_is_known_comes_in_and_may_do_what_was_granted() -> None:
    watched = Watched(certificates=True)
    assert watched.ask("mine").subject == "me"
    assert watched.ask("seen", right=None).subject == "watcher"
    assert watched.ask("seen", right=Right.METRICS).subject == "watcher"
    assert watched.ask(None, "other", "gw.example").subject == "gateway"
    assert not watched.door.is_stranger("mine")
    assert not watched.door.is_stranger(None)  # it may have a certificate
    with pytest.raises(NotPermitted, match="it takes the scope 'infer'; granted: metrics"):
        watched.ask("seen")
    assert watched.refused("scope") == 1


def test_without_certificates_nobody_is_asked_for_names() -> None:
    door = Watched().door
    with pytest.raises(Unauthenticated):
        door.admit(Shown(None, lambda: pytest.fail("asked"), "", "", ""), None)


def test_without_a_file_every_certificate_may_ask_models_and_tokens_count_nothing() -> None:
    watched = Watched(None, certificates=True)
    caller = watched.ask("whatever a client insists on", "spiffe://a", "other")
    assert (caller.subject, caller.models, caller.rights) == ("spiffe://a", None, {Right.INFER, Right.METRICS})
    with pytest.raises(Unauthenticated, match=r"certificate of an authority in tls\.client_ca"):
        watched.ask("whatever")


@pytest.mark.parametrize(
    ("header", "token"),
    [(None, None), ("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("Bearer", "")],
)
def test_the_header_is_read(header: str | None, token: str | None) -> None:
    assert bearer_token(header) == token


def note(refusals: Refusals, host: str) -> None:
    refusals.note("unknown", subject="", peer=f"{host}:7", method="/x/Y", request_id="r1")


def test_a_flood_of_calls_is_none_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.WARNING, "attendant.audit"):
        for _ in range(1000):
            note(watched.refusals, "10.0.0.1")
        assert len(caplog.records) == 1
        assert "subject '', peer 10.0.0.1:7, request r1; 0 more of this host" in caplog.text
        watched.now_s = QUIET_S
        note(watched.refusals, "10.0.0.1")
        assert "999 more of this host since the last line" in caplog.records[1].getMessage()
        for number in range(10 * MOST_HOSTS):
            note(watched.refusals, f"10.1.{number // 256}.{number % 256}")
    assert len(caplog.records) == 1 + MOST_LINES
    assert len(watched.refusals._hosts) == MOST_HOSTS
    assert watched.refused("unknown") == 1001 + 10 * MOST_HOSTS
    caplog.clear()
    watched.now_s = 3 * QUIET_S
    with caplog.at_level(logging.WARNING, "attendant.audit"):
        note(watched.refusals, "10.0.0.2")
    told = 10 * MOST_HOSTS - (MOST_LINES - 1)
    assert f"{told} of others without a line" in caplog.text


def test_no_line_has_a_token(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.DEBUG), pytest.raises(Unauthenticated) as caught:
        watched.ask("a-secret")
    assert "a-secret" not in caplog.text + str(caught.value)
