"""Which tenants want so little beside others that they need not wait for them: the light ones."""

from __future__ import annotations

from collections import Counter

from attendant.core.fair_order import OrderRules

MUCH_MORE = 4
"""So many times as much as a light tenant another one wants."""

LATELY_NS = 10_000_000_000
"""After so many nanoseconds without a light tenant's prompt none is expected."""


class Shares:
    """Places that tenants want: those that their sequences have, and those that they wait for.

    A tenant is light if it wants no more than an equal share of all places, one at least, while another one wants four
    times as much or more. So none of those is light who all want more than their shares, nor is one alone.

    Args:
        num_places: that there are.
    """

    def __init__(self, rules: OrderRules, num_places: int) -> None:
        self._light_first = rules.fair and rules.light_first
        self._num_places = num_places
        self._wanted: Counter[str] = Counter()
        self._most: int | None = 0  # that one of them wants; None: to be found out
        self._light_ns: int | None = None  # when a prompt of a light tenant was computed last

    def change(self, tenant: str, number: int) -> None:
        """The tenant wants so many places more."""
        self._wanted[tenant] += number
        if not self._wanted[tenant]:
            del self._wanted[tenant]
        self._most = None

    def is_light(self, tenant: str) -> bool:
        """Whether the tenant, which wants some, is light."""
        if not self._light_first or len(self._wanted) < 2:
            return False
        if self._most is None:
            self._most = max(self._wanted.values())
        wanted = self._wanted[tenant]
        return wanted <= max(self._num_places // len(self._wanted), 1) and MUCH_MORE * wanted <= self._most

    def light_came(self, now_ns: int) -> None:
        """A prompt of a light tenant is computed."""
        self._light_ns = now_ns

    def light_may_come(self, now_ns: int) -> bool:
        """Whether there was one lately, so that another one is expected."""
        return self._light_ns is not None and now_ns - self._light_ns < LATELY_NS
