"""The commands that hold answers against others: made again, or another model's."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping

from attendant.client.compare.command import add_compare_arguments, compare
from attendant.client.replay.command import add_replay_arguments, replay

COMMANDS: Mapping[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "replay": (add_replay_arguments, replay),
    "compare": (add_compare_arguments, compare),
}
