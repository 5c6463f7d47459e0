"""What a trace is given for declared ports: samples of its inputs, and which of their sizes vary."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from attendant.bundle.graph_io import CachePorts, Port

from attendant_export.graph.kernels import Cache
from attendant_export.tracing.attention import AttentionLayer

Feeds = Mapping[str, torch.Tensor]
_CACHES = ("pasts", "sources")
Varying = dict[int, Any]  # torch.export's dimensions, by axis


class TracedInputs:
    """The inputs of a graph to trace, in their order: plain ones by name, then caches.

    Args:
        sizes: of the samples, by the names of what varies: above 1, so that no size is taken for a constant.
        longest: bounds of what varies, where the graph has one.
    """

    def __init__(self, sizes: Mapping[str, int], longest: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._longest = longest
        self._dims: dict[str, Any] = {}
        self._plain: dict[str, tuple[torch.Tensor, Varying]] = {}
        self._caches: list[list[tuple[tuple[torch.Tensor, Varying], tuple[torch.Tensor, Varying]]]] = []
        self._cache_names: list[str] = []

    @property
    def plain_names(self) -> tuple[str, ...]:
        """The names of all inputs but the caches."""
        return tuple(self._plain)

    @property
    def names(self) -> list[str]:
        """The names of all inputs."""
        return [*self._plain, *self._cache_names]

    @property
    def samples(self) -> tuple[Any, ...]:
        """Zeros for each plain input, then a list of keys and values for each cache."""
        caches = [[(key[0], value[0]) for key, value in calls] for calls in self._caches]
        return (*(sample for sample, _ in self._plain.values()), *caches)

    @property
    def shapes(self) -> tuple[Any, ...]:
        """Which sizes of the samples vary, as torch.export wants it."""
        caches = [[(key[1], value[1]) for key, value in calls] for calls in self._caches]
        return (*(varying for _, varying in self._plain.values()), *caches)

    def add(self, port: Port) -> None:
        """Appends a plain input."""
        self._plain[port.name] = self._made(port, getattr(torch, str(port.dtype)), self._dims, {})

    def add_cache(self, cache: CachePorts, layers: Sequence[AttentionLayer], dtype: torch.dtype) -> None:
        """Appends the keys and values of each attention call, after all plain inputs. What varies of caches alone, as
        their blocks do, varies of each by itself."""
        self._cache_names += cache.past.names(len(layers))
        dims, calls = dict(self._dims), []
        for layer in layers:
            heads = {"num_kv_heads": layer.num_kv_heads, "head_size": layer.head_size}
            key, value = (self._made(port, dtype, dims, heads) for port in (cache.past.key, cache.past.value))
            calls.append((key, value))
        self._caches.append(calls)

    def _made(
        self, port: Port, dtype: torch.dtype, dims: dict[str, Any], heads: Mapping[str, int]
    ) -> tuple[torch.Tensor, Varying]:
        port = port.of_equal_rows
        for name in port.symbols:
            if name is not None and name not in dims:
                most = {"max": self._longest[name]} if name in self._longest else {}
                unique = f"{name.replace(' + ', '_plus_')}_{len(self._caches)}"
                dims[name] = torch.export.Dim(unique, **most)
        varying = {axis: dims[name] for axis, name in enumerate(port.symbols) if name is not None}
        return torch.zeros(port.shape({**self._sizes, **heads}), dtype=dtype), varying


class NamedModule(torch.nn.Module):  # type: ignore[misc]
    """A module to trace that computes with plain inputs by the names of their ports."""

    def take(self, inputs: TracedInputs) -> None:
        """Makes the module take these inputs by position.

        They get parameters of their own: the tracer names after parameters what it says of sizes in the graph.
        """
        names = inputs.plain_names

        def forward(*taken: Any) -> Any:
            plain = taken[: len(names)]
            return self.compute(dict(zip(names, plain, strict=True)), *taken[len(names) :])

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        caches = _CACHES[: len(inputs.samples) - len(names)]
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in (*names, *caches)])
        vars(forward)["__signature__"] = signature
        self.forward = forward

    def compute(self, feeds: Feeds, *caches: list[Cache]) -> Any:
        """The outputs of the graph, in order, of plain inputs by name and of caches."""
        raise NotImplementedError
