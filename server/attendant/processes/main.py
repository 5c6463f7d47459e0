"""The process itself: makes what it is ordered, serves it, and ends with the server, however that ends.

``python -P -m attendant.processes.main DESCRIPTOR PID``: of its end of the link, and of the server.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

from attendant.core.errors import AttendantError, Unavailable
from attendant.processes.link import Link
from attendant.processes.messages import (
    Ask,
    Begin,
    Command,
    Delivered,
    Died,
    Failed,
    LogLine,
    Order,
    Progress,
    Ready,
    Service,
    Start,
    Started,
    Stop,
    Stopped,
    Told,
)

_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that this process gets when the thread that began it ends."""

logger = logging.getLogger(__name__)


def main() -> None:
    """Run until every service has stopped, or the server is gone."""
    descriptor, server = map(int, sys.argv[1:3])
    _end_with(server)
    faulthandler.enable()  # a crash says on standard error what was called
    link = Link(socket.socket(fileno=descriptor))
    code = 1
    try:
        _prepare(link.receive(), link)
        code = _work(link)
    except (EOFError, OSError):  # there is no server any more
        pass
    finally:
        logging.shutdown()
        # What libraries would take down now, with threads of theirs that still run, the system does better.
        os._exit(code)


def _end_with(server: int) -> None:
    """Signals to the server's group are the server's to follow: it says when to stop. But if it is gone, so is this."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:  # it was gone before it could be followed
        os._exit(1)


def _prepare(begin: Begin, link: Link) -> None:
    sys.path[:] = begin.path
    sys.setswitchinterval(begin.switch_interval_s)
    for name, level in begin.levels:
        logging.getLogger(name).setLevel(level)
    logging.getLogger().addHandler(_Sends(link))


def _work(link: Link) -> int:
    """Make what is ordered, and serve it. Returns the exit code."""
    order = link.receive()
    assert isinstance(order, Order)
    try:
        made = order.make(lambda line: link.send(Progress(line)), *order.arguments)
    except Exception as error:  # noqa: BLE001 - supervision point: it is raised where the process was ordered
        link.send(Failed(crossing(error)))
        return 1
    gc.collect()
    gc.freeze()
    link.send(Ready(made.facts))
    _serve(link, made.services)
    return 0


def _serve(link: Link, services: tuple[Service, ...]) -> None:
    running = set(range(len(services)))
    while running:
        match link.receive():
            case Command(index, command):
                services[index].tell(command)
            case Ask(index):
                since_ns = services[index].busy_since_ns
                link.send(Told(index, since_ns, services[index].where() if since_ns else ""))
            case Start(index):
                link.send(_started(link, index, services[index]))
            case Stop(index):
                services[index].stop()
                running.discard(index)
                link.send(Stopped(index))


def _started(link: Link, index: int, service: Service) -> Started | Failed:
    try:
        service.start(
            lambda report: _send(link, Delivered(index, report)),
            lambda error: _send(link, Died(index, crossing(error))),
        )
    except Exception as error:  # noqa: BLE001 - supervision point: it is raised where the service was started
        return Failed(crossing(error), index)
    return Started(index)


def _send(link: Link, message: object) -> None:
    with suppress(OSError):  # the server is gone, and so will this process be
        link.send(message)


def crossing(error: BaseException) -> AttendantError:
    """An error that can be told in another process: those of other libraries could not always be read there."""
    if isinstance(error, AttendantError):
        return error
    return Unavailable(f"{type(error).__name__}: {error}")


class _Sends(logging.Handler):
    """Hands lines of the log to the server, whose handlers write them."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._words = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        told = dict(record.__dict__, msg=record.getMessage(), args=None, exc_info=None)
        if record.exc_info:
            told["exc_text"] = record.exc_text or self._words.formatException(record.exc_info)
        _send(self._link, LogLine(told))


if __name__ == "__main__":
    main()
