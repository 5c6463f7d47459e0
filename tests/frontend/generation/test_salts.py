"""Who shares what is cached of prompts: by salt, and where it is set by tenant.

What a stranger's prompt costs is what it costs the first time, counted in tokens that the engine ran."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.salts import MAX_SALT, SALT_KEY, salt_of, salted
from attendant.frontend.generation.service import GenerationService
from attendant.metrics import Metrics
from attendant.settings import LimitsSettings
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.bundles import make_paged_bundle
from tests.frontend.generation.helpers import call, collect, load, with_model
from tests.synthetic import make_synthetic_bundle

PROMPT = "what is told to nobody else " * 4
ASKED = call(PROMPT, 4, ignore_eos=True, temperature=0.0)


@dataclass(frozen=True)
class Cost:
    """What a caller can see of a prompt's cost, and what the engine ran for it."""

    cached_tokens: int
    tokens_run: int


Ask = Callable[[CallContext], Awaitable[Cost]]


def asking(bundle: Path, test: Callable[[Ask], Awaitable[None]], limits: LimitsSettings | None = None) -> None:
    metrics = Metrics(registry := CollectorRegistry())

    def run() -> float:
        values = [s for family in registry.collect() for s in family.samples if s.name == "attendant_step_tokens_sum"]
        return sum(sample.value for sample in values)

    async def with_service(service: GenerationService) -> None:
        async def ask(context: CallContext) -> Cost:
            before = run()
            _, ends = await collect(service, ASKED, context)
            return Cost(ends[0].usage.cached_tokens, int(run() - before))

        await test(ask)

    assert not with_model(load(bundle), with_service, metrics, limits)


def of(salt: str = "", tenant: str = "") -> CallContext:
    return salted(replace(CallContext.new(), tenant=tenant), salt)


@pytest.mark.parametrize("kind", ["slots", "pages"])
def test_a_prompt_of_another_salt_costs_what_it_costs_the_first_time(kind: str, tmp_path: Path) -> None:
    make = make_synthetic_bundle if kind == "slots" else make_paged_bundle

    async def test(ask: Ask) -> None:
        fresh = await ask(of("mine"))
        again = await ask(of("mine"))
        assert fresh.cached_tokens == 0
        assert again.cached_tokens > 0
        assert again.tokens_run == fresh.tokens_run - again.cached_tokens
        assert await ask(of("another")) == fresh
        assert await ask(of()) == fresh
        assert await ask(of("another", tenant="else")) == again

    asking(make(tmp_path / "bundle"), test)


def test_where_tenants_are_kept_apart_no_salt_joins_them(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        fresh = await ask(of("shared", tenant="a"))
        assert (await ask(of("shared", tenant="a"))).cached_tokens > 0
        assert await ask(of("shared", tenant="b")) == fresh
        assert await ask(of("", tenant="a")) == fresh
        assert (await ask(of("", tenant="a"))).cached_tokens > 0
        assert await ask(of("", tenant="")) == fresh

    asking(make_synthetic_bundle(tmp_path / "bundle"), test, LimitsSettings(prefix_cache_by_tenant=True))


SALTS = st.text(max_size=8)


@given(SALTS, SALTS, SALTS, SALTS)
def test_both_salts_of_a_call_count_and_are_no_others(first: str, second: str, third: str, fourth: str) -> None:
    def both(came: str, said: str) -> bytes:
        return salted(replace(CallContext.new(), cache_salt=came.encode(errors="surrogatepass")), said).cache_salt

    same = {value for value in (first, second) if value} == {value for value in (third, fourth) if value}
    in_order = [value for value in (first, second) if value] == [value for value in (third, fourth) if value]
    if in_order:
        assert both(first, second) == both(third, fourth)
    if not same:
        assert both(first, second) != both(third, fourth)


@given(SALTS, SALTS, SALTS, SALTS)
def test_a_tenants_salt_is_no_other_tenants(tenant: str, salt: str, other: str, others: str) -> None:
    mine, theirs = of(salt, tenant), of(others, other)
    if tenant != other:
        assert salt_of(mine, by_tenant=True) != salt_of(theirs, by_tenant=True)
    assert salt_of(mine, by_tenant=True) != theirs.cache_salt
    assert salt_of(mine, by_tenant=False) == mine.cache_salt


def test_a_salt_that_is_too_long_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidRequest, match=f"cache_salt has {MAX_SALT + 1} bytes; allowed: at most {MAX_SALT}"):
        of("s" * (MAX_SALT + 1))
    with pytest.raises(InvalidRequest, match=f"{SALT_KEY} has"):
        salted(replace(CallContext.new(), cache_salt=b"s" * (MAX_SALT + 1)), "")
