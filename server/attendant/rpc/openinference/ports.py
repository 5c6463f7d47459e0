"""What a model takes and gives in the Open Inference Protocol: named tensors, and what makes one of the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy.typing as npt

from attendant.core.context import CallContext

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "BF16",
    "FP32",
    "FP64",
    "BYTES",
]
Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a model takes or gives.

    Attributes:
        shape: -1 where any size will do. Of an input with one dimension a request may have [n, 1], too; the port sees
            [n].
        optional: of inputs: a request may leave it out.
        also: of inputs: other types that will do.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False
    also: tuple[Datatype, ...] = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a request or a response.

    Attributes:
        values: of the tensor's shape and type; BF16 as uint16, BYTES as objects, each of ``bytes``. Those that came raw
            are a view of the message, and not to be written to.
    """

    name: str
    datatype: Datatype
    values: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class InferCall:
    """A request. Its tensors fit the port's ``inputs``: names, types, number of dimensions, and none missing.

    Attributes:
        model: as :func:`attendant.core.repository.full_name` has it, never empty.
        outputs: names of those that are wanted, in this order; empty: all.
        parameters: of the request. Those that the protocol itself knows (priority, timeout,
            triton_enable_empty_final_response) are not among them.
        tensor_parameters: of inputs that have any, by the input's name.
    """

    model: str
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tensor_parameters: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """A response, or one of several.

    Attributes:
        outputs: at least those that the request wants; without any the response has none.
        last: no other one follows, so that a stream may say so with it. A port that does not know leaves it out.
    """

    outputs: Sequence[Tensor]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    last: bool = False


class Port(Protocol):
    """One model behind named tensors.

    A request that names a parameter or leaves out an input that the model needs is refused by the port, with
    InvalidRequest, before anything reaches the model.
    """

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All that a request may have."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All that a response may have."""

    @property
    def decoupled(self) -> bool:
        """Whether a request may have any number of responses. ModelInfer takes one all the same if it asks for a single
        response; see :meth:`answer`."""

    def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        """Responses as they come; closing the iterator ends the work.

        Args:
            alone: one response is all that the caller can take (ModelInfer).

        Raises:
            StreamNeeded: ``alone``, and the request asks for several.
            AttendantError: refused, or failed later.
        """


class SinglePort(ABC):
    """A port whose requests have one response each."""

    decoupled = False

    @abstractmethod
    async def only(self, call: InferCall, context: CallContext) -> InferAnswer:
        """The only response. Cancelling it ends the work. Raises AttendantError."""

    async def answer(self, call: InferCall, context: CallContext, *, alone: bool) -> AsyncGenerator[InferAnswer, None]:
        """See :class:`Port`."""
        yield await self.only(call, context)
