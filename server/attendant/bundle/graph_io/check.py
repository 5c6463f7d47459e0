"""The check that the graphs of a manifest take and give what is declared of them."""

from __future__ import annotations

from collections.abc import Iterable

from attendant.bundle.graph_io.port import Dim, Port
from attendant.bundle.graph_io.signatures import Manifest, Signature, signature_of
from attendant.bundle.manifest import Graph, TensorSpec
from attendant.core.errors import BundleError


def check_graphs(manifest: Manifest, *, whole: bool = False) -> None:
    """Make sure that every graph of a manifest can be run by what is declared of it.

    Args:
        whole: refuse besides what does no harm in a bundle that is read, but must not be written: graphs and outputs
            that are not declared, and sizes by other names.

    Raises:
        BundleError: a graph takes an input that is not declared, or has one of another type or shape.
    """
    for name, graph in manifest.graphs.items():
        signature, where = signature_of(manifest, name), f"{manifest.name}: {graph.file}"
        if signature is not None:
            check_inputs(where, (spec.name for spec in graph.inputs), signature)
            _check_graph(where, graph, signature, whole=whole)
        elif whole:
            raise BundleError(where, f"is a graph {name!r}, of which nothing is declared")


def check_inputs(where: str, names: Iterable[str], signature: Signature) -> None:
    """Make sure that inputs of these ``names`` are declared.

    Args:
        where: the bundle and the file, for the error.

    Raises:
        BundleError: one is not; says which ones are.
    """
    known = [port.name for port in signature.inputs]
    if strange := sorted(set(names) - set(known)):
        raise BundleError(where, f"takes the input {strange[0]!r}; {signature.of} has {_listed(known)}")


def _check_graph(where: str, graph: Graph, signature: Signature, *, whole: bool) -> None:
    declared = {port.name: port for port in signature.inputs}
    for spec in graph.inputs:
        _check_spec(where, spec, declared[spec.name], whole=whole)
    declared = {port.name: port for port in signature.outputs}
    for spec in graph.outputs:
        if spec.name in declared:
            _check_spec(where, spec, declared[spec.name], whole=whole)
        elif whole:
            raise BundleError(where, f"gives {spec.name!r}; {signature.of} has {_listed(list(declared))}")


def _check_spec(where: str, spec: TensorSpec, port: Port, *, whole: bool) -> None:
    if port.dtype not in (None, spec.dtype):
        raise BundleError(where, f"has {spec.name!r} as {spec.dtype}; declared is {port.dtype}")
    sizes = zip(spec.shape, port.dims, strict=False)
    if len(spec.shape) != len(port.dims) or not all(_fits(size, dim, whole=whole) for size, dim in sizes):
        found, wanted = (f"[{', '.join(map(str, shape))}]" for shape in (spec.shape, port.dims))
        raise BundleError(where, f"has {spec.name!r} of shape {found}; declared is {wanted}")


def _fits(size: int | str, dim: Dim, *, whole: bool) -> bool:
    if isinstance(dim, int):
        return size == dim
    if not whole:
        return True
    if isinstance(dim, str):
        return size == dim or (size, dim) == ("batch", "rows")  # see Port.of_equal_rows
    return isinstance(size, int)


def _listed(names: list[str]) -> str:
    """In words; of caches only those of the first attention call."""
    shown = [name for name in names if not name[-1].isdigit() or name.endswith("_0")]
    return ", ".join(shown) + (" and so on" if len(shown) < len(names) else "")
