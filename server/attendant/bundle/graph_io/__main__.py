"""Prints what is declared of every graph as tables in Markdown: ``python -m attendant.bundle.graph_io``."""

from __future__ import annotations

from attendant.bundle.graph_io.port import Port
from attendant.bundle.graph_io.signatures import Signature, all_signatures


def tables() -> str:
    """A heading and a table for each kind of graph."""
    return "\n\n".join(map(_table, all_signatures())) + "\n"


def _table(signature: Signature) -> str:
    lines = [
        f"### {signature.of[0].upper()}{signature.of[1:]}",
        "",
        "| | Name | Type | Shape | Meaning |",
        "|-|-|-|-|-|",
    ]
    for direction, ports in (("in", signature.inputs), ("out", signature.outputs)):
        lines += [f"| {direction} | {_row(port)} |" for port in ports]
    return "\n".join(lines)


def _row(port: Port) -> str:
    dtype = port.dtype or "the model's"
    place = ", in host memory" if port.on_host else ""
    return f"`{port.name}` | {dtype} | [{', '.join(map(str, port.dims))}] | {port.meaning}{place}"


if __name__ == "__main__":
    print(tables(), end="")
