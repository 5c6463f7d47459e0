"""Cases for the test of what runs cases."""

from __future__ import annotations

import os
import random
import time


def misbehaving_case(chance: random.Random) -> tuple[str, str]:
    """Crashes at 0, hangs at 1, raises at 2, is well at 3."""
    drawn = chance.randrange(4)
    if drawn == 0:
        os._exit(7)
    if drawn == 1:
        time.sleep(3600)
    if drawn == 2:
        raise ValueError("this one")
    return "well", ""
