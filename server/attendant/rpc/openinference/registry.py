"""Which ports a model has: one for everything that it does. The first is what requests mean that name no task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attendant.core.errors import InvalidRequest, Unavailable
from attendant.frontend.front_end import FrontEnd
from attendant.models.info import ModelInfo
from attendant.rpc.openinference.encoders.registry import encoder_ports
from attendant.rpc.openinference.generating import generator_ports
from attendant.rpc.openinference.hearing import speech_ports
from attendant.rpc.openinference.options import TASK
from attendant.rpc.openinference.ports import Port
from attendant.traffic.recorder import Recorder

Maker = Callable[[ModelInfo, FrontEnd, Recorder | None], Iterable[tuple[str, Port]]]

MAKERS: tuple[Maker, ...] = (generator_ports, speech_ports, encoder_ports)
"""Each gives the ports that it has for a model, by task."""


def ports_of(info: ModelInfo, front_end: FrontEnd, recorder: Recorder | None = None) -> Mapping[str, Port]:
    """The ports of a model by task. Raises Unavailable while it is being loaded, as they are not known."""
    found = {task: port for maker in MAKERS for task, port in maker(info, front_end, recorder)}
    if not found:
        raise Unavailable(f"model {info.name!r} takes no requests as yet; try again")
    return found


def port_of(info: ModelInfo, front_end: FrontEnd, task: str = "", recorder: Recorder | None = None) -> Port:
    """What a model takes and gives.

    Args:
        task: of its tasks; empty: the first.
        recorder: keeps some of the calls.

    Raises:
        Unavailable: see :func:`ports_of`.
        InvalidRequest: the model has no such task.
    """
    found = ports_of(info, front_end, recorder)
    if not task:
        return next(iter(found.values()))
    if task not in found:
        allowed = f"allowed, for {info.name!r}: {', '.join(found)}"
        raise InvalidRequest(f"parameters[{TASK}]", f"is {task[:100]!r}; {allowed}")
    return found[task]
