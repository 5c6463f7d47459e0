"""The one thread that loads models: what another thread's heap has kept free is not free to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class LoadingThread:
    """Does one thing after another. It belongs to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "models")

    def run(self, function: Callable[P, R], *arguments: P.args, **_: P.kwargs) -> Awaitable[R]:
        """What ``function`` gives. Lines of the log that it writes name the call that asked for it."""
        run = partial(copy_context().run, function, *arguments)
        return asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """Take nothing more; what runs goes on."""
        self._thread.shutdown(wait=False)
