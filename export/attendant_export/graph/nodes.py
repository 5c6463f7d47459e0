"""Small tools over onnx_ir that the graph passes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from attendant.bundle import DType
from attendant.bundle.graph_io import Port, Size

MICROSOFT = "com.microsoft"
"""Domain of the operators that are ONNX Runtime's own."""

DTYPES: dict[DType, ir.DataType] = {
    "float32": ir.DataType.FLOAT,
    "float16": ir.DataType.FLOAT16,
    "bfloat16": ir.DataType.BFLOAT16,
    "int8": ir.DataType.INT8,
    "float8e4m3fn": ir.DataType.FLOAT8E4M3FN,
    "int32": ir.DataType.INT32,
    "int64": ir.DataType.INT64,
}

_MARK = "_attendant_"


def value_of(port: Port, dtype: ir.DataType | None = None, **sizes: int) -> ir.Value:
    """A graph input as it is declared.

    Args:
        dtype: of a port that has the model's. sizes: that the model has.
    """
    return ir.val(port.name, DTYPES[port.dtype] if port.dtype else dtype, shape_of(port, **sizes))


def shape_of(port: Port, **sizes: int) -> list[int | str]:
    """The declared shape, with names for what varies."""
    return [sizes[dim.of] if isinstance(dim, Size) else dim for dim in port.dims]


def nodes_of(graph: ir.Graph, *op_types: str) -> list[ir.Node]:
    """The nodes of these types in order, listed up front so that a pass can edit the graph."""
    return [node for node in graph if node.op_type in op_types]


def attribute(node: ir.Node, name: str, default: Any) -> Any:
    """The value of an attribute, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that makes ``value``, if it is of one of these types."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def array_of(value: ir.Value) -> npt.NDArray[Any]:
    """The content of an initializer; of a transposed one without a copy."""
    tensor = value.const_value
    assert tensor is not None
    array: npt.NDArray[Any] = tensor.source.numpy().T if isinstance(tensor, Transposed) else tensor.numpy()
    return array


def constant_of(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """The content of an initializer, or None for any other value."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    return array_of(value)


class Transposed(ir.LazyTensor):  # type: ignore[misc]
    """The content of ``source``, [K, N], transposed; made anew when it is read, so that weights are in memory once."""

    def __init__(self, source: ir.TensorProtocol, name: str) -> None:
        super().__init__(
            lambda: ir.Tensor(np.ascontiguousarray(source.numpy().T)),
            dtype=source.dtype,
            shape=ir.Shape(reversed(source.shape.numpy())),
            name=name,
        )
        self.source = source


class Editor:
    """Edits one graph: adds constants and nodes, replaces nodes, drops what nothing uses."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._names = set(graph.initializers)
        names = [str(output.name) for node in graph for output in node.outputs]
        marked = [name.rpartition(_MARK)[2] for name in names if _MARK in name]  # by earlier editors of this graph
        self._next = max((int(number) for number in marked if number.isdecimal()), default=0)

    def constant(self, array: npt.NDArray[Any] | np.generic, name: str) -> ir.Value:
        """A new initializer, named ``name`` or near it."""
        return self._initializer(ir.Tensor(np.asarray(array), name=self._unique(name)))

    def transposed(self, weight: ir.Value, name: str) -> ir.Value:
        """A new initializer with the content of another one, [K, N], transposed; named ``name`` or near it."""
        assert weight.const_value is not None
        return self._initializer(Transposed(weight.const_value, self._unique(name)))

    def computed(self, like: ir.Value, compute: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], name: str) -> ir.Value:
        """A new initializer, of the type and shape of another one, named ``name`` or near it.

        Args:
            compute: makes its content of the other's, which it must not change; anew whenever it is read, so that both
                are not held in memory.
        """
        tensor = like.const_value
        assert tensor is not None
        shape = ir.Shape(tensor.shape.numpy())

        def content() -> ir.TensorProtocol:
            return ir.Tensor(np.asarray(compute(tensor.numpy()), tensor.dtype.numpy()))

        return self._initializer(ir.LazyTensor(content, dtype=tensor.dtype, shape=shape, name=self._unique(name)))

    def before(
        self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], domain: str = "", **attributes: Any
    ) -> ir.Value:
        """Adds a node with one output before ``node``; returns the output."""
        new = self._node(op_type, inputs, domain, attributes)
        self.graph.insert_before(node, new)
        return new.outputs[0]

    def after(self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """Adds a node with one output after ``node``; returns the output."""
        new = self._node(op_type, inputs, "", attributes)
        self.graph.insert_after(node, new)
        return new.outputs[0]

    def replace(
        self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], domain: str = "", **attributes: Any
    ) -> ir.Node:
        """Puts a node with one output in the place of ``node``, whose first output it takes over."""
        new = self._node(op_type, inputs, domain, attributes)
        self.graph.insert_before(node, new)
        self.redirect(node.outputs[0], new.outputs[0])
        self.graph.remove(node, safe=True)
        return new

    def redirect(self, old: ir.Value, new: ir.Value) -> None:
        """Makes every reader of ``old`` read ``new``, which takes over its type, and its name as a graph output."""
        new.shape, new.type = new.shape or old.shape, new.type or old.type
        is_output = old.is_graph_output()
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        if is_output:
            old.name, new.name = f"{old.name}_replaced", old.name

    def drop_constant(self, value: ir.Value) -> None:
        """Removes an initializer that no node reads any more, so that its memory is free before the pass is over."""
        if value.is_initializer() and not value.uses() and not value.is_graph_output():
            del self.graph.initializers[str(value.name)]
            value.const_value = None  # whoever refers to the value still

    def drop_unused(self) -> None:
        """Removes nodes, initializers and graph inputs that reach no output."""
        for node in reversed(list(self.graph)):
            if not any(output.uses() or output.is_graph_output() for output in node.outputs):
                self.graph.remove(node, safe=True)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[name]
        for value in list(self.graph.inputs):
            if not value.uses():
                self.graph.inputs.remove(value)

    def _unique(self, name: str) -> str:
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        self._names.add(unique)
        return unique

    def _initializer(self, tensor: ir.Tensor | ir.LazyTensor) -> ir.Value:
        value = ir.Value(name=tensor.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def _node(
        self, op_type: str, inputs: Sequence[ir.Value | None], domain: str, attributes: dict[str, Any]
    ) -> ir.Node:
        self._next += 1
        node = ir.node(op_type, inputs, attributes or None, domain=domain)
        node.outputs[0].name = f"{op_type.lower()}{_MARK}{self._next}"
        return node


def same_shape(one: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether two values are known to have one shape."""
    if one is None or other is None or one.shape is None or other.shape is None:
        return False
    return len(one.shape) == len(other.shape) and all(map(same_size, one.shape, other.shape))


def same_size(one: int | ir.SymbolicDim, other: int | ir.SymbolicDim) -> bool:
    """Whether two dimensions are known to be equal."""
    if isinstance(one, int) or isinstance(other, int):
        return one == other
    return one.value is not None and one.value == other.value
