"""What the log has of connections that cannot be taken in."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest
from attendant.http import refused
from attendant.http.refused import Refused

MESSAGE = "socket.accept() out of system resource"


def told(caplog: pytest.LogCaptureFixture, *errors: Exception, message: str = MESSAGE) -> list[str]:
    async def tell() -> None:
        loop = asyncio.get_running_loop()
        Refused(loop)
        for error in errors:
            loop.call_exception_handler({"message": message, "exception": error})

    with caplog.at_level(logging.ERROR):
        asyncio.run(tell())
    return [record.getMessage() for record in caplog.records]


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, *[OSError(errno.EMFILE, "Too many open files")] * 100)
    assert len(lines) == 1
    assert lines[0].startswith("HTTP takes no connection in: the machine gives this server no more file descriptors")


def test_and_how_often_later(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "BETWEEN_S", 0.0)
    lines = told(caplog, *[OSError(errno.EMFILE, "Too many open files")] * 2)
    assert lines[1].startswith("HTTP takes no connection in (tried 1 times since this was said last): the machine")


@pytest.mark.parametrize(
    ("error", "message"), [(OSError(errno.EBADF, "bad"), MESSAGE), (MemoryError(), "in a callback"), (KeyError(), "")]
)
def test_other_errors_are_told_as_the_loop_does(
    caplog: pytest.LogCaptureFixture, error: Exception, message: str
) -> None:
    assert told(caplog, error, message=message) == [message or "Unhandled exception in event loop"]
