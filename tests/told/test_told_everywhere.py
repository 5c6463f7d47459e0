"""What a whole server tells of what callers send, wherever in whatever call of any API they send it: errors show a
beginning of it, and the log, traces and metrics nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.synthetic import make_synthetic_bundle
from tests.system.encoders import FLAGS, make_encoders
from tests.system.server import ServerProcess, eventually, request, serving
from tests.told.everywhere import Everywhere, Told
from tests.told.opened import WORD, events, looking, sent
from tests.told.watched import VARIABLE
from tests.traces.collector import Collector, collecting

MARK = "told-to-nobody "
MOST_SHOWN = 700
"""Characters of an error's text that can be the caller's own; a grammar shows the line that is wrong."""
NAMES = re.compile(r"(?:model|part)=\"[^\"]*\"|'[^']*'")
"""What lines about calls have of what callers say: a model, and the id of a part of a stream."""
MOST_OF_A_NAME = 256
"""Of a model's name, which a span has in three places."""
NOT_OURS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "500", "502", "503"})


class Watched(NamedTuple):
    """A server that follows every call, and logs all it can; ``events``: the file of what it opened."""

    server: ServerProcess
    collector: Collector
    events: Path
    asks: Everywhere


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    encoders = sorted(make_encoders(folder / "encoders").iterdir())
    make_synthetic_bundle(folder / "models" / "kept" / "1", name="kept")
    flags = (
        *FLAGS,
        "--engine.threads",
        1,
        "--no-engine.spinning",
        "--vllm-engine",
        "0=demo",
        "--vllm-engine",
        "0=vectors",
    )
    opened: tuple[object, ...] = ("--model-repository", folder / "models", "--repository.control", "explicit")
    opened += ("--chat.given-templates", "--auth.settings-by-calls", "everyone", "--no-admission.predict")
    opened += ("--limits.max-name-characters", 100_000)  # long names, too, get as far as they can
    events = folder / "events"
    with collecting() as collector, pytest.MonkeyPatch.context() as patch:
        followed = ("--traces.enabled", "--traces.ratio", 1, "--traces.endpoint", collector.endpoint)
        patch.setenv(VARIABLE, str(events))
        command = ("-m", "tests.told.watched", "serve")
        words = (*encoders, "--demo", *flags, *opened, *followed, "--log-level", "debug")
        with serving(folder / "log", *words, command=command) as server:
            asks = Everywhere(server)
            yield Watched(server, collector, events, asks)
            asks.close()


def wrong(found: list[Told], text: str) -> list[str]:
    """What is wrong with how calls ended that had ``text`` in them."""
    said = [each for each in found if each.status in NOT_OURS]
    shown = [each for each in found if each.error.count(text) * len(text) > MOST_SHOWN]
    shown += [each for each in found if each.beside.count(text) * len(text) > 2 * MOST_SHOWN]
    return [f"{each.name}: {each.status} {each.error[:300]}" for each in (*said, *shown)]


def test_what_is_sent_is_told_to_nobody(watched: Watched) -> None:
    found = [*watched.asks.grpc([MARK * 1000]), *watched.asks.http([MARK * 1000])]
    assert wrong(found, MARK) == []
    ends = Counter(each.status for each in found)
    assert min(ends["OK"], ends["INVALID_ARGUMENT"], ends["200"], ends["400"]) > 50, "some are answered, some are not"
    check_nobody_knows(watched, MARK)


def line_is_of_calls(line: str) -> bool:
    return len(line) < 1000 and (" attendant.audit: " in line or " attendant.requests: " in line)


def test_what_is_answered_is_told_to_nobody_else(watched: Watched) -> None:
    asked = request("Where is my order?", 12, model="demo")
    answer = "".join(part.text for part in watched.server.generation.Generate(asked))
    assert len(answer) > 8
    check_nobody_knows(watched, answer)
    check_nobody_knows(watched, "Where is my order?")


def check_nobody_knows(watched: Watched, text: str) -> None:
    """Neither the log nor traces nor metrics have a text. The lines of the log that say who did what, and how calls
    went, and traces have the beginnings of names of models and of ids."""
    log = watched.server.log()
    assert "DEBUG" in log
    assert " attendant.requests: " in log
    lines = [NAMES.sub("", line) if line_is_of_calls(line) else line for line in log.splitlines()]
    assert [line[:500] for line in lines if text in line] == []
    assert [line for line in watched.server.page().splitlines() if text in line] == []
    eventually(lambda: bool(watched.collector.spans))
    spans = [str(span) for span in tuple(watched.collector.spans)]
    assert [span for span in spans if span.count(text) * len(text) > 4 * MOST_OF_A_NAME] == []


@pytest.mark.parametrize("in_turn", [True, False], ids=["in turn", "all"])
def test_no_path_that_is_sent_is_looked_at_and_no_address_called(
    watched: Watched, tmp_path: Path, in_turn: bool
) -> None:
    """With a file where the paths lead. Python tells of what it opens, and the kernel of whoever opens that file. By
    day each field is sent one of the paths, by night all."""
    folder = tmp_path / WORD
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    before = len(events(watched.events))
    with looking(folder) as seen:
        ways = sent(folder)
        found = [*watched.asks.grpc(ways, in_turn=in_turn), *watched.asks.http(ways, in_turn=in_turn)]
        found += watched.asks.beside(ways)
    assert wrong(found, "secret\n") == []
    assert seen == []
    after = events(watched.events)[before:]
    assert [event for event in after if WORD in str(event)] == []
    called = [(event, args) for event, args in after if event in ("socket.connect", "socket.getaddrinfo")]
    assert [each for each in called if watched.collector.endpoint.rpartition(":")[2] not in str(each)] == []


def test_what_is_looked_at_is_seen(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with looking(tmp_path) as seen:
        (tmp_path / "secret.txt").read_text()
    assert len(seen) > 0
    assert [args for event, args in events(watched.events) if event == "open" and "bundle.json" in str(args)]
