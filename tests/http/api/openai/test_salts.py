"""The salt of a call, by vLLM's field and by the header that any call may have."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError

from tests.http.api.openai.conftest import HELLO
from tests.http.api.served import ApiSite

LONG = [{**HELLO[0], "content": "what nobody else is told " * 8}]


def cached(client: Any, salt: str | None = None, header: str | None = None) -> int:
    """Tokens of the prompt that were there."""
    found = client.chat.completions.create(
        model="model",
        messages=LONG,
        max_tokens=2,
        extra_body={} if salt is None else {"cache_salt": salt},
        extra_headers={} if header is None else {"x-attendant-cache-salt": header},
    )
    number: int = found.usage.prompt_tokens_details.cached_tokens
    return number


def test_what_is_cached_is_found_by_calls_of_the_same_salt_alone(site: ApiSite, client: Any) -> None:
    assert cached(client, "one") == 0
    assert cached(client, "one") > 0
    assert cached(client, "two") == 0
    assert cached(client, header="one") > 0
    assert cached(client, header="three") == 0
    assert cached(client, "one", header="three") == 0
    assert cached(client, "one", header="three") > 0
    assert cached(client) == 0


def test_a_salt_that_is_too_long_is_refused_by_its_name(client: Any) -> None:
    with pytest.raises(BadRequestError, match="cache_salt has 2000 bytes; allowed: at most 1024"):
        cached(client, "s" * 2000)
    with pytest.raises(BadRequestError, match="x-attendant-cache-salt has 2000 bytes; allowed: at most 1024"):
        cached(client, header="s" * 2000)
