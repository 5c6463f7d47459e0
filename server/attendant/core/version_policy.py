"""Which versions of a model of the repository are served: the newest, all, or certain ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from attendant.core.repository import version_order

ALLOWED = "latest:N (N at least 1), all, specific:1,3"
_RULE = re.compile(r"(?:(?P<model>[^=]+)=)?(?P<policy>.*)")


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """Which versions of one model are served.

    Attributes:
        count: the newest that can be loaded, so many; None: no limit.
        versions: only these; None: any.
    """

    count: int | None = 1
    versions: frozenset[str] | None = None

    @classmethod
    def parse(cls, text: str) -> VersionPolicy:
        """One of ``latest:N``, ``all``, ``specific:1,3``.

        Raises:
            ValueError: it is none of them.
        """
        kind, _, value = text.strip().partition(":")
        if kind == "latest" and value.strip().isdecimal() and int(value) > 0:
            return cls(int(value))
        if kind == "all" and not value:
            return cls(None)
        versions = frozenset(each.strip() for each in value.split(","))
        if kind == "specific" and all(each.isdecimal() for each in versions):
            return cls(None, versions)
        raise ValueError(f"{text.strip()!r} is no policy; allowed: {ALLOWED}")

    def candidates(self, versions: Iterable[str]) -> list[str]:
        """The versions that may be served, newest first: as many of them as :attr:`count` says that can be loaded."""
        allowed = [each for each in versions if self.versions is None or each in self.versions]
        return sorted(allowed, key=version_order, reverse=True)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of every model: its own, or that of all others."""

    others: VersionPolicy = VersionPolicy()
    by_model: Mapping[str, VersionPolicy] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Policies:
        """Policies parted by semicolons, each of all models or behind the name of one: ``latest:1; moods=all``.

        Raises:
            ValueError: naming the part that cannot be read.
        """
        others, by_model = VersionPolicy(), dict[str, VersionPolicy]()
        for part in filter(None, (part.strip() for part in text.split(";"))):
            match = _RULE.fullmatch(part)
            assert match is not None, "it matches anything"
            policy = VersionPolicy.parse(match["policy"])
            if match["model"] is None:
                others = policy
            else:
                by_model[match["model"].strip()] = policy
        return cls(others, by_model)

    def of(self, model: str) -> VersionPolicy:
        """The policy of one model."""
        return self.by_model.get(model, self.others)
