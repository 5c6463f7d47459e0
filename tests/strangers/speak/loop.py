"""A stranger's side of the conversation: a line of JSON says which function of its script is called, one what came."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from carry import from_json, to_json  # it lies beside the script


def answer(actions: Mapping[str, Callable[..., Any]]) -> None:
    """Calls ``actions``, by their names, until the input ends. Coroutines run in one loop: a client can last."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a client prints is no answer
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                returned = actions[asked["action"]](**from_json(asked["arguments"]))
                if inspect.iscoroutine(returned):
                    returned = runner.run(returned)
                found = {"returned": to_json(returned)}
            except Exception:  # noqa: BLE001 the test shows it
                found = {"failed": traceback.format_exc()}
            print(json.dumps(found), file=out, flush=True)
