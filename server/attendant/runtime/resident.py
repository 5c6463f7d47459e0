"""What a process has in memory, as Linux counts it: of its own, and mapped from files that others may have, too."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes in memory: ``own`` of a process alone, ``mapped`` from files. Zeros where there is no Linux."""

    own: int = 0
    mapped: int = 0

    @classmethod
    def now(cls, pid: int | None = None) -> Resident:
        """As it is of a process, by default this one; nothing of one that has ended."""
        try:
            words = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()
        except OSError:
            return cls()
        page = os.sysconf("SC_PAGE_SIZE")
        resident, shared = int(words[1]) * page, int(words[2]) * page
        return cls(resident - shared, shared)

    def __add__(self, other: Resident) -> Resident:
        return Resident(self.own + other.own, self.mapped + other.mapped)

    def since(self, before: Resident) -> str:
        """What came since, in words."""
        own, mapped = ((now - then) / 1e6 for now, then in ((self.own, before.own), (self.mapped, before.mapped)))
        return f"{own:,.0f} MB of memory, and {mapped:,.0f} MB mapped from files"
