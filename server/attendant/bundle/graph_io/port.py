"""What is declared of a graph's input or output, and how groups of them become groups of arrays and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, cast

from attendant.bundle.manifest import DType

T = TypeVar("T")
Per = Literal["layer", "cross_layer", "cache", "self_attention", "encoder_attention", "cross_attention"]

_PORT = "port"


@dataclass(frozen=True, slots=True)
class Size:
    """A size that each model has one of, e.g. ``vocab_size``; sizes that vary from run to run are plain names."""

    of: str

    def __str__(self) -> str:
        return self.of


Dim = int | str | Size


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a graph, or one for each attention call.

    Attributes:
        name: as the ONNX file has it, with ``{i}`` for the number where there are several.
        dtype: of its elements; None: the model's own.
        dims: its sizes: a number; the name of one that varies, or ``name + 1``; or a :class:`Size` of the model.
        meaning: what it holds, in words.
        on_host: it lies in host memory also where the graph runs on a device.
        per: what there is one for each of; None: there is one. A ``cache`` is the keys or the values of a
            layer; ``..._attention``: a layer whose attention is given.
    """

    name: str
    dtype: DType | None
    dims: tuple[Dim, ...]
    meaning: str
    on_host: bool = False
    per: Per | None = None

    def at(self, index: int) -> Port:
        """The ``index``-th of several, as a port of its own."""
        number = str(index)
        dims = tuple(dim.replace("{i}", number) if isinstance(dim, str) else dim for dim in self.dims)
        return replace(self, name=self.name.replace("{i}", number), dims=dims, per=None)

    @property
    def of_equal_rows(self) -> Port:
        """The same in a graph whose rows have equal lengths: there the rows of caches are those of the tokens."""
        return replace(self, dims=tuple("batch" if dim == "rows" else dim for dim in self.dims))

    @property
    def symbols(self) -> tuple[str | None, ...]:
        """The name of each dimension that varies from run to run, None for fixed ones."""
        return tuple(dim if isinstance(dim, str) else None for dim in self.dims)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of its array where names have these ``sizes``."""
        return tuple(_size(dim, sizes) for dim in self.dims)


def _size(dim: Dim, sizes: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    name, _, more = str(dim).partition(" + ")
    return sizes[name] + int(more or 0)


def port(dtype: DType | None, *dims: Dim, means: str, on_host: bool = False) -> Any:
    """A field of a group: a dataclass that is generic in what it holds, ports or arrays, one for each name."""
    return field(metadata={_PORT: (dtype, dims, means, on_host)})


def declared(group: Callable[..., Any]) -> Any:
    """The ports of a group, as the group holds them."""
    own = {each.name: each.metadata[_PORT] for each in fields(cast(Any, group))}
    return group(**{name: Port(name, *details) for name, details in own.items()})


def by_name(*groups: Any) -> dict[str, Any]:
    """What groups hold, by the names of its ports, in their order; what is None is left out."""
    held = ((each.name, getattr(group, each.name)) for group in groups for each in fields(group))
    return {name: value for name, value in held if value is not None}


def ports_of(*groups: Any) -> tuple[Port, ...]:
    """All ports of declared groups."""
    return tuple(by_name(*groups).values())


def symbols_of(*ports: Port) -> dict[str, tuple[str | None, ...]]:
    """The names of the sizes that vary, None for fixed ones, of each port by its name."""
    return {port.name: port.symbols for port in ports}


def grouped(group: Callable[..., Any], held: Mapping[str, Any]) -> Any:
    """The other way round: the group of what stands in ``held`` under the names of its ports; what does not is None."""
    return group(**{each.name: held.get(each.name) for each in fields(cast(Any, group))})
