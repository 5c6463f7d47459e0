"""Parameters: what the protocol itself knows of them, and how a port takes those that are its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.metadata import HIGHEST_PRIORITY
from attendant.rpc.openinference.ports import Parameter

E = TypeVar("E")

TASK = "task"
"""The parameter by which a request says which of a model's ports it means."""

EMPTY_FINAL = "triton_enable_empty_final_response"
FINAL = "triton_final_response"
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_LEAST_URGENT = 2**32 - 1


def plain(parameters: Mapping[str, Any], field: str = "parameters") -> dict[str, Parameter]:
    """The values of a message's map of parameters. Raises InvalidRequest for one without a value."""
    found: dict[str, Parameter] = {}
    for name, value in parameters.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(
                f"{field}[{name[:100]}]", "has no value; allowed: a bool, an integer, a number or a string"
            )
        found[name] = getattr(value, choice)
    return found


class Options:
    """Parameters that a port takes one by one; each is read once, and :meth:`done` refuses those that nobody took.

    Args:
        field: of the request, which has them.
    """

    def __init__(self, parameters: Mapping[str, Parameter], field: str = "parameters") -> None:
        self._left = dict(parameters)
        self._field = field
        self._known: list[str] = []

    def flag(self, name: str, default: bool = False) -> bool:
        """Whether it is set."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refusal(name, value, "true or false")
        return value

    def optional_flag(self, name: str) -> bool | None:
        """Whether it is set; None if it is not given."""
        if name not in self._left:
            self._known.append(name)
            return None
        return self.flag(name)

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number from ``least`` to ``most``; None if it is not given."""
        value = self._take(name)
        if value is None:
            return None
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not least <= int(value) <= most:
            raise self.refusal(name, value, f"a whole number from {least} to {most}")
        return int(value)

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.refusal(name, value, "a text")
        return value

    def choice(self, name: str, choices: Mapping[str, E], default: E) -> E:
        """One of several, by name."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise self.refusal(name, value, ", ".join(choices))
        return choices[value]

    def done(self) -> None:
        """Raises InvalidRequest if a parameter was not taken."""
        for name in self._left:
            allowed = ", ".join(sorted(self._known)) or "none"
            raise InvalidRequest(f"{self._field}[{name[:100]}]", f"is not known; allowed here: {allowed}")

    def refusal(self, name: str, value: Parameter, allowed: str) -> InvalidRequest:
        """What refuses a value of a parameter."""
        shown = value[:100] if isinstance(value, str) else value
        return InvalidRequest(f"{self._field}[{name}]", f"is {shown!r}; allowed: {allowed}")

    def _take(self, name: str) -> Parameter | None:
        self._known.append(name)
        return self._left.pop(name, None) if self._left else None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the protocol itself says with a request.

    Attributes:
        priority: 1 is the most urgent; 0: nothing is said.
        timeout_us: how long the caller waits, in microseconds; 0: nothing is said.
        empty_final: a stream is to tell the end of the request by a response without tensors.
        raw: tensors are to come as raw bytes; None: as those of the request came.
    """

    priority: int = 0
    timeout_us: int = 0
    empty_final: bool = False
    raw: bool | None = None

    @classmethod
    def take(cls, parameters: dict[str, Parameter]) -> Terms:
        """Those of a request, taken out of its parameters.

        Raises:
            InvalidRequest: one that is out of range, or asks for sequences, which no model here keeps.
        """
        if not parameters:
            return _NOTHING_SAID
        for name in _SEQUENCE:
            if name in parameters:
                raise InvalidRequest(
                    f"parameters[{name}]", "is set; allowed: unset, as no model here keeps anything between requests"
                )
        options = Options(parameters)
        terms = cls(
            options.integer("priority", least=0, most=_LEAST_URGENT) or 0,
            options.integer("timeout", least=0, most=2**63 - 1) or 0,
            options.flag(EMPTY_FINAL),
            options.optional_flag("binary_data_output"),
        )
        for name in ("priority", "timeout", EMPTY_FINAL, "binary_data_output"):
            parameters.pop(name, None)
        return terms

    def with_raw(self, raw: bool) -> Terms:
        """The same, with tensors raw or not."""
        if self is _NOTHING_SAID:
            return _RAW if raw else _ONE_BY_ONE
        return replace(self, raw=raw)

    def of_call(self, context: CallContext) -> CallContext:
        """The context of a request with these. Of two deadlines the earlier one holds."""
        if not self.priority and not self.timeout_us:
            return context
        deadline_ns = context.deadline_ns
        if self.timeout_us:
            own_ns = context.arrival_ns + 1000 * self.timeout_us
            deadline_ns = own_ns if deadline_ns is None else min(deadline_ns, own_ns)
        urgent = max(HIGHEST_PRIORITY + 1 - self.priority, 1)  # whoever says one is above those who do not
        priority = urgent if self.priority else context.priority
        return replace(context, priority=priority, deadline_ns=deadline_ns)


_NOTHING_SAID = Terms()
_RAW, _ONE_BY_ONE = Terms(raw=True), Terms(raw=False)
