"""Other methods for single modules of a model, for a while."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Method = Callable[..., Any]


@contextmanager
def replaced(methods: Iterable[tuple[Any, str, Method]]) -> Iterator[None]:
    """While in it, modules have other methods: (module, name, method), which is given the module first.

    Instance attributes shadow methods of the class and leave the class as it is.
    """
    wanted = list(methods)
    try:
        for module, name, method in wanted:
            object.__setattr__(module, name, types.MethodType(method, module))
        yield
    finally:
        for module, name, _ in wanted:
            if name in vars(module):  # a module may stand in several places
                object.__delattr__(module, name)
