"""Loads of a model that reads more than text only what a text goes through: the rest is neither built nor read."""

from __future__ import annotations

from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

import torch

_UNBUILT = "what needs another package"


class LeftOut:
    """The parts of a model that are left out when it is loaded: all that is no part of its language model.

    Args:
        kept: names of such parts that are loaded nevertheless. all_kept: whether all of them are.
        within: name of the part of the checkpoint that reads all and writes text, where others speak or draw.

    Attributes:
        touched: names of parts that were left out and that the model asked for since.
    """

    def __init__(self, kept: Set[str] = frozenset(), *, all_kept: bool = False, within: str = "") -> None:
        self.kept = kept
        self.all_kept = all_kept
        self.within = within
        self.touched: set[str] = set()

    def class_of(self, whole: type) -> Any:
        """A class like ``whole``, of transformers, whose models have nothing in the place of these parts."""
        left_out = self

        def build(model: Any, config: Any, *given: Any, **more: Any) -> None:
            with left_out.building():
                whole.__init__(model, config, *given, **more)  # type: ignore[misc]
            if not left_out.all_kept:
                left_out._empty(model)
            model._keys_to_ignore_on_load_unexpected |= {""}  # all, or transformers lists what is left out

        # transformers finds how a checkpoint names its tensors by the name of the class, and reads its module's file.
        return type(whole.__name__, (whole,), {"__init__": build, "__module__": whole.__module__})

    def config_of(self, config: Any) -> Any:
        """The config of what is loaded, of that of the checkpoint."""
        return getattr(config, f"{self.within}_config") if self.within else config

    def names(self) -> dict[str, dict[str, str]]:
        """What transformers is told of how the tensors of the checkpoint are named."""
        return {"key_mapping": {f"^{self.within}\\.": ""}} if self.within else {}

    @contextmanager
    def building(self) -> Iterator[None]:
        """While in it, a part of a model that needs a package which is not installed is left out at once."""
        from transformers import AutoModel

        original = AutoModel.from_config

        def from_config(config: Any, **more: Any) -> Any:
            try:
                return original(config, **more)
            except ImportError:
                if self.all_kept or _UNBUILT in self.kept:
                    raise
                return _Absent(_UNBUILT, self)

        AutoModel.from_config = from_config
        try:
            yield
        finally:
            del AutoModel.from_config

    def _empty(self, model: Any) -> None:
        decoder = model.get_decoder()
        if decoder is None or decoder is model:
            return
        needed = [decoder, model.get_input_embeddings(), model.get_output_embeddings()]
        inside = {id(each) for part in needed if part is not None for each in part.modules()}
        self._empty_below(model, "", inside)
        tied = model.all_tied_weights_keys
        names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        model.all_tied_weights_keys = {key: source for key, source in tied.items() if key in names}

    def _empty_below(self, module: torch.nn.Module, prefix: str, inside: Set[int]) -> None:
        for name, child in list(module.named_children()):
            path = f"{prefix}{name}"
            if id(child) in inside or path in self.kept:
                continue
            if any(id(each) in inside for each in child.modules()):
                self._empty_below(child, f"{path}.", inside)
            else:
                setattr(module, name, _Absent(path, self))


class _Absent(torch.nn.Module):  # type: ignore[misc]
    """What stands in the place of a part; says that it was asked for."""

    def __init__(self, path: str, left_out: LeftOut) -> None:
        super().__init__()
        self._path = path
        self._told = [left_out]  # in a list, since a module takes in what has modules

    def forward(self, *_: Any, **__: Any) -> Any:
        self._touch()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            self._touch()

    def _touch(self) -> Any:
        self._told[0].touched.add(self._path)
        raise AttributeError(f"{self._path} is left out")
