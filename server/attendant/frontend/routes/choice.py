"""Which of several targets a call gets: by chance or by its key, in both cases in proportion to weights."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence

from attendant.frontend.routes.graph import Target


def by_chance(targets: Sequence[Target], draw: random.Random) -> Target:
    """One of them, drawn. At least one has a weight above 0."""
    return draw.choices(targets, [target.weight for target in targets])[0]


def by_key(targets: Sequence[Target], route: str, key: str) -> Target:
    """The one that every call of ``route`` with this key gets, as long as it is there.

    Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): each target has a number h in (0, 1) that only
    route, key and target decide, and the largest -weight / ln(h) wins. When weights or targets change, keys move only
    to the target that gained, or away from the one that lost.
    """
    return max(targets, key=lambda target: _score(target, route, key))


def _score(target: Target, route: str, key: str) -> float:
    if not target.weight:
        return -1.0
    digest = hashlib.sha256("\0".join((route, key, target.model)).encode(errors="surrogateescape")).digest()
    h = (int.from_bytes(digest[:7], "big") + 0.5) / 2**56  # never 0 nor 1
    return -target.weight / math.log(h)
