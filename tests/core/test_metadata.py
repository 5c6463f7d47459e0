"""What metadata of a call ask for: read as they are meant, or refused by the name of their key."""

from __future__ import annotations

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.metadata import PRIORITY_KEY, TENANT_KEY, heeded, host_of, nearest_priority


@pytest.mark.parametrize(
    ("client", "host"),
    [
        ("ipv4:10.0.0.7:50123", "10.0.0.7"),
        ("10.0.0.7:8080", "10.0.0.7"),
        ("ipv6:%5B::1%5D:50123", "::1"),
        ("ipv6:[2001:DB8::0:1]:80", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("ipv6:[::ffff:10.0.0.7]:80", "10.0.0.7"),
        ("unix:", "unix"),
        ("unix:/tmp/socket", "unix"),
        ("somewhere:80", "somewhere"),
        ("", ""),
    ],
)
def test_a_host_has_one_spelling_whichever_skin_saw_it(client: str, host: str) -> None:
    assert host_of(client) == host


def test_a_tenant_is_the_subject_else_what_the_call_says_else_its_host() -> None:
    plain = CallContext("id", 1, client="ipv4:10.0.0.7:1")
    said = CallContext("id", 1, client="ipv4:10.0.0.7:1", metadata={TENANT_KEY: "team/blue"})
    known = CallContext("id", 1, client="ipv4:10.0.0.7:1", subject="ann", metadata={TENANT_KEY: "team/blue"})
    assert [heeded(context).tenant for context in (plain, said, known)] == ["10.0.0.7", "team/blue", "ann"]


@pytest.mark.parametrize("said", ["-100", "0", "+7", "100"])
def test_a_priority_is_a_number(said: str) -> None:
    context = heeded(CallContext("id", 1, metadata={PRIORITY_KEY: said}))
    assert context.priority == int(said)


@pytest.mark.parametrize("said", ["", "1.5", "high", "101", "-101", "٣", " 1", "9" * 5000])
def test_another_priority_is_refused_by_the_name_of_its_key(said: str) -> None:
    with pytest.raises(InvalidRequest, match="-100 to 100") as caught:
        heeded(CallContext("id", 1, metadata={PRIORITY_KEY: said}))
    assert caught.value.field == PRIORITY_KEY
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("said", ["", "two words", "a" * 257, "\u00e4"])
def test_another_tenant_is_refused_by_the_name_of_its_key(said: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 256 visible characters") as caught:
        heeded(CallContext("id", 1, metadata={TENANT_KEY: said}))
    assert caught.value.field == TENANT_KEY
    assert len(str(caught.value)) < 300


def test_priorities_of_other_protocols_become_the_nearest() -> None:
    assert [nearest_priority(number) for number in (-(2**31), -3, 0, 3, 2**31)] == [-100, -3, 0, 3, 100]
