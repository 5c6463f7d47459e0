"""A client that nobody here wrote, in a process and an environment of its own: it does what a test asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attendant_loadtest.bench.processes import Answering, answering

from tests.strangers.environments import Requirements, environment
from tests.strangers.speak.carry import from_json, to_json
from tests.system.server import environment as variables

SPEAK = Path(__file__).parent / "speak"


class Stranger:
    """The far side of :mod:`tests.strangers.speak.loop`. Make one with :func:`stranger`."""

    def __init__(self, process: Answering) -> None:
        self._process = process

    def ask(self, action: str, **arguments: Any) -> Any:
        """What the script's function of this name returns; arrays in it as the stranger had them.

        Raises:
            AssertionError: it raised what it does not return; with its traceback.
        """
        found = self._process.ask({"action": action, "arguments": to_json(arguments)})
        assert "failed" not in found, f"{action} failed:\n{found['failed']}"
        return from_json(found["returned"])


@contextmanager
def stranger(requirements: Requirements, script: str, address: str) -> Iterator[Stranger]:
    """Start a script of ``speak/`` in the environment of its client.

    Args:
        script: its file's name. address: of the server, host:port.
    """
    python = environment(requirements) / "bin" / "python"
    alone = {name: value for name, value in variables().items() if name != "PYTHONPATH"}
    with answering([str(python), str(SPEAK / script), address], alone) as process:
        yield Stranger(process)
