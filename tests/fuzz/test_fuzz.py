"""Two thousand random cases against one real server and what reads strangers' files; `python -m tests.fuzz` goes on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.fuzz.apart import chance_of, run_apart
from tests.fuzz.asked import WEIGHTS, draw
from tests.fuzz.bundles import bundle_case
from tests.fuzz.files import seeds
from tests.fuzz.guided import READERS, run_guided
from tests.fuzz.misbehaving import misbehaving_case
from tests.fuzz.parsed import file_case, read_all
from tests.fuzz.served import ask_grpc, ask_http, ask_openapi
from tests.fuzz.surface import METHODS
from tests.http.api.fuzz import served
from tests.http.api.known import EXAMPLES, ONE_OF_TWO
from tests.system.server import HANGS_S, ServerProcess

SEED = 19
MISBEHAVES = 8
"""The seed of cases that crash, hang, raise and are well."""
GRPC, HTTP, FILES, BUNDLES = 960, 400, 600, 40
"""Cases of each part: 2,000."""
OPENAPI, GUIDED = 200, 3000
"""Nightly: schemathesis takes a quarter of a second for a case, and atheris instruments what it reads."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the demo models and a tiny encoder for each task."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(autouse=True)
def _well_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        server: ServerProcess = request.getfixturevalue("server")
        assert server.healthz() == 200
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("path", sorted(set(EXAMPLES) - ONE_OF_TWO))
def test_examples_of_bodies_are_answered(server: ServerProcess, path: str) -> None:
    model = "demo" if "generate" in path else "moods"
    found = httpx.post(server.http + path.replace("{model}", model), json=EXAMPLES[path], timeout=HANGS_S)
    assert found.status_code == 200, found.text


def test_no_message_is_a_fault_of_the_servers(server: ServerProcess) -> None:
    ends, bad = ask_grpc(server, SEED, range(GRPC), HANGS_S)
    assert bad == []
    assert ends.total() == GRPC
    assert ends["OK"] > GRPC / 5, "many are meant"
    assert ends["INVALID_ARGUMENT"] > GRPC / 5, "many are not"


def test_no_body_is_a_fault_of_the_servers(server: ServerProcess) -> None:
    ends, bad = ask_http(server, SEED, range(HTTP))
    assert bad == []
    assert ends.total() == HTTP
    assert ends["200"] > HTTP / 10
    assert ends["400"] > HTTP / 10


def test_nothing_that_the_openapi_page_describes_is_a_fault_of_the_servers(server: ServerProcess) -> None:
    ends, bad = ask_openapi(server, SEED, range(OPENAPI))
    assert bad == []
    assert ends.total() >= OPENAPI


def test_what_reads_bytes_of_strangers_is_led_into_all_its_branches() -> None:
    ends, bad = run_guided(SEED, GUIDED)
    assert bad == []
    assert set(ends) == set(READERS) or "left out: there is no atheris" in ends


def test_every_method_is_asked() -> None:
    """Whatever the proto room has: messages are drawn by descriptor."""
    drawn = [draw(random.Random(number), ("demo",)) for number in range(4 * sum(WEIGHTS))]
    asked = Counter(call.path for call in drawn)
    assert len(asked) == len(METHODS)
    nothing = [call for call in drawn if call.method.input_type.fields and not any(call.sent)]
    assert len(nothing) < len(drawn) / 5, "most say something"


def test_a_case_can_be_had_again_by_its_number() -> None:
    for number in (0, 7, 12345):
        first, again = (draw(chance_of(SEED, number), ("demo",)) for _ in range(2))
        assert (first.path, first.sent, first.metadata) == (again.path, again.sent, again.metadata)


def test_no_file_is_a_fault_of_the_servers() -> None:
    ran = run_apart(file_case, SEED, range(FILES), HANGS_S)
    assert ran.bad == []
    assert ran.ends.total() == FILES
    assert sum(count for end, count in ran.ends.items() if "read" in end) > FILES / 10, "some are whole enough"


def test_whole_files_are_read() -> None:
    assert {end for end, _ in map(read_all, seeds())} >= {"read+read+refused", "refused+refused+read"}


def test_no_bundle_is_a_fault_of_the_servers() -> None:
    ran = run_apart(bundle_case, SEED, range(BUNDLES), HANGS_S)
    assert ran.bad == []
    assert ran.ends.total() == BUNDLES


def test_a_case_that_crashes_or_hangs_costs_itself_only() -> None:
    numbers = range(5)
    drawn = {number: chance_of(MISBEHAVES, number).randrange(4) for number in numbers}
    assert set(drawn.values()) == {0, 1, 2, 3}
    ran = run_apart(misbehaving_case, MISBEHAVES, numbers, hangs_s=1.0)
    told = {
        0: "case {}: ended its process with 7",
        1: "case {}: hangs for 1.0 s",
        2: "case {}: raised ValueError: this one",
    }
    assert ran.bad == [told[drawn[number]].format(number) for number in numbers if drawn[number] in told]
    assert ran.ends["well"] == sum(value == 3 for value in drawn.values())
