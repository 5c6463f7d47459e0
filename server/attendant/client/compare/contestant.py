"""One of the two models: where it is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attendant_proto.v1 import models_pb2

from attendant.client.compare.cases import BadCase, Case
from attendant.client.connection import CallFailed, Connection

Task = Literal["generate", "classify", "embed"]
TASKS: tuple[Task, ...] = ("generate", "classify", "embed")


@dataclass(frozen=True)
class Contestant:
    """A model of a server.

    Attributes:
        label: what it is called in the report: its name, with its server where both have the same.
        raw: texts are continued as they stand, even if it has a chat template.
    """

    label: str
    connection: Connection
    model: models_pb2.Model
    raw: bool = False

    @property
    def name(self) -> str:
        """What its server calls it."""
        return self.model.name

    @property
    def task(self) -> Task:
        """What it is compared at.

        Raises:
            CallFailed: it does nothing that can be compared.
        """
        for task in TASKS:
            if task in self.model.capabilities:
                return task
        does = ", ".join(self.model.capabilities) or "nothing"
        raise CallFailed(f"model {self.name!r} does {does}; can be compared: {', '.join(TASKS)}")

    @property
    def chats(self) -> bool:
        """Whether texts are what a user says to it."""
        return not self.raw and self.model.generation.HasField("chat")

    @property
    def translates(self) -> bool:
        """Whether it reads a text and writes another."""
        return "translate" in self.model.capabilities

    @property
    def precision(self) -> str:
        """Of its weights."""
        return self.model.bundle.precision


def check_pair(pair: Sequence[Contestant], cases: Sequence[Case]) -> Task:
    """What both are compared at.

    Raises:
        CallFailed: they are for different tasks.
        BadCase: the prompts are not for it.
    """
    first, second = (each.task for each in pair)
    if first != second:
        raise CallFailed(f"{pair[0].label} does {first}, {pair[1].label} {second}; allowed: two models of one task")
    if any(case.chat for case in cases) and not all(each.model.generation.HasField("chat") for each in pair):
        raise BadCase("there are chats in the file, and not both models have a chat template; allowed: text")
    if first == "generate" and any(case.pair or case.label for case in cases):
        raise BadCase("label and pair are for models that classify or embed; these generate")
    if first != "generate" and any(case.answer or case.reference for case in cases):
        raise BadCase(f"answer and reference are for models that generate; these {first}")
    return first
