"""Which tokens of a text stay where there are too many."""

from __future__ import annotations


def kept(count: int, room: int, left: bool) -> slice:
    """Which of ``count`` tokens stay where there is room for so many: the first, or with ``left`` the last."""
    start = max(count - room, 0) if left else 0
    return slice(start, start + min(count, room))


def shares(num_first: int, num_second: int, room: int) -> tuple[int, int]:
    """How many tokens of each of two texts fit: as many as there are, or the longer gives way to the shorter."""
    shorter = min(num_first, num_second, room // 2)
    longer = min(max(num_first, num_second), room - shorter)
    return (longer, shorter) if num_first > num_second else (shorter, longer)
