"""Who did what: a line of the log for each change that a call makes to the server, whether it was permitted or not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from attendant.core.caller import ANYONE, Right, current_caller
from attendant.core.context import current_call
from attendant.core.errors import AttendantError, NotAllowed

logger = logging.getLogger("attendant.audit")
"""The only one that writes who did what."""


@contextmanager
def changing(what: str, model: str = "", *, everyone: bool = False, closed: str = "") -> Iterator[None]:
    """Around a change that a call makes: sees that its caller may make it, and notes who made it and how it ended.

    Args:
        what: is done, as in "load".
        model: that it is about; empty: the server.
        everyone: may do it, without a right to.
        closed: why nobody may do it who was not asked who they are; empty: they may.

    Raises:
        NotPermitted: the caller has not the right, or may not use the model.
        NotAllowed: callers are not asked who they are, and this is closed to such.
    """
    caller = current_caller()
    try:
        if not everyone:
            if closed and caller is ANYONE:
                raise NotAllowed(closed)
            if caller is not ANYONE:
                caller.check_right(Right.ADMIN, what)
        caller.check_model(model)
        yield
    except AttendantError as error:
        note(what, model, f"refused or failed: {type(error).__name__}", level=logging.WARNING)
        raise
    except BaseException as error:
        note(what, model, f"failed: {type(error).__name__}", level=logging.WARNING)
        raise
    note(what, model, "done")


def note(what: str, model: str, outcome: str, *, level: int = logging.INFO) -> None:
    """Write who did what, of the call that is being served here."""
    call = current_call()
    logger.log(
        level,
        "%s%s: %s; subject %r, peer %s, request %s",
        what,
        f" {model[:200]!r}" if model else "",
        outcome,
        current_caller().subject,
        (call.client if call is not None else "") or "unknown",
        call.request_id if call is not None else "none",
    )
