"""Who makes a call, and what they may do: found out at the door, asked wherever something of a model's is done."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatchcase

from attendant.core.errors import NotPermitted
from attendant.core.repository import split_name


class Right(enum.StrEnum):
    """What a caller may be permitted to do, beside seeing what there is.

    Attributes:
        INFER: ask models.
        ADMIN: load and unload models, and change what is logged and traced.
        METRICS: read figures of the server as a whole.
    """

    INFER = "infer"
    ADMIN = "admin"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        subject: by its token or certificate; empty where nobody is asked who they are.
        rights: what it may do.
        models: patterns of the names of models, routes and versions (``name@version``) that it may use, as shells
            have them; None: all.
    """

    subject: str = ""
    rights: frozenset[Right] = frozenset({Right.INFER, Right.METRICS})
    models: tuple[str, ...] | None = None

    def may_use(self, model: str) -> bool:
        """Whether it may use what callers name so. What permits a model permits each of its versions."""
        if self.models is None:
            return True
        plain, version = split_name(model)
        names = (plain, model) if version else (plain,)
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.models)

    def check_model(self, model: str) -> None:
        """Raises NotPermitted if it may not use what it names so, be there such a model or not. An empty name means
        one of those that it may use."""
        if model and not self.may_use(model):
            raise NotPermitted(f"{self.subject!r} may not use model {model[:200]!r}; allowed: {self.shown_models()}")

    def check_right(self, right: Right, what: str) -> None:
        """Raises NotPermitted if it may not do ``what``, which takes this right."""
        if right not in self.rights:
            raise NotPermitted(f"{self.subject!r} may not {what}: that takes the scope {right.value!r}")

    def shown_models(self) -> str:
        """Which models it may use, for an error."""
        return "any" if self.models is None else ", ".join(map(repr, self.models)) or "none"


ANYONE = Caller()
"""Who makes calls where nobody is asked who they are."""

_CURRENT: ContextVar[Caller] = ContextVar("attendant_caller", default=ANYONE)


def current_caller() -> Caller:
    """Who makes the call that this task or thread works for; what the server does of its own accord anyone may."""
    return _CURRENT.get()


@contextmanager
def acting_for(caller: Caller) -> Iterator[None]:
    """Around all that is done for a call of ``caller``, in one task, in those that it begins and in threads that are
    handed its context."""
    token = _CURRENT.set(caller)
    try:
        yield
    finally:
        _CURRENT.reset(token)
