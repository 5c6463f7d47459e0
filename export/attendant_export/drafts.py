"""What an export asks of a model, whatever its kind: what stands between an order and a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar

from attendant.bundle import FileEntry, Graph, KVLayer, Manifest, Origin, Parity, Precision, Target

from attendant_export.attention.choice import AttentionChoice
from attendant_export.attention.reference import Look
from attendant_export.auto import Asked
from attendant_export.progress import Progress, silent
from attendant_export.prompts import Encode
from attendant_export.recipe import Recipe
from attendant_export.source.folder import SourceFolder

Tell = Callable[[str], None]


def say_nothing(line: str) -> None:
    """Tell nothing, to those who do not want to be told."""


@dataclass(frozen=True)
class Order:
    """What is asked for, whatever the model is.

    Attributes:
        out: where the bundle goes. name: the model's, for clients.
        calibration: text to calibrate with; by default the exporter's own.
        context_length: at most so many tokens of prompt and answer together; by default what the model takes.
        max_kl: the largest divergence, nats a token, where several recipes are tried for it.
        source: where the model came from. quantised: what its weights were, where they were quantised already.
        merged: what was merged into them. warnings: what of that is not as it says, one sentence each.
        attention: which graph gives the model's attention.
        tool_format, reasoning_format: names of formats; by default those that the chat templates speak.
        overwrite: whether a bundle at ``out`` is replaced, once the new one is whole.
        tell: is told warnings, and what attempts came to, in lines.
    """

    out: Path
    name: str
    calibration: str | None = None
    context_length: int | None = None
    max_kl: float | None = None
    source: Origin | None = None
    quantised: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    overwrite: bool = False
    attention: AttentionChoice = "auto"
    tool_format: str | None = None
    reasoning_format: str | None = None
    progress: Progress = silent
    tell: Tell = say_nothing


@dataclass(frozen=True)
class Written:
    """The graphs of a bundle, as its manifest has them.

    Attributes:
        graphs: by name. layers, cross_layers: the caches of those that have some.
        recipe: what quantisation did, in words.
    """

    graphs: Mapping[str, Graph]
    recipe: tuple[str, ...] = ()
    layers: tuple[KVLayer, ...] = ()
    cross_layers: tuple[KVLayer, ...] = ()


class Common(TypedDict):
    """The fields of a manifest that are filled in one way, whatever the model is."""

    name: str
    target: Target
    precision: Precision
    recipe: tuple[str, ...]
    graphs: Mapping[str, Graph]
    files: Mapping[str, FileEntry]
    parity: Parity
    source: Origin
    exporter_version: str


M = TypeVar("M", bound=Manifest)
MadeOf = TypeVar("MadeOf", bound=Manifest, covariant=True)


class Draft(Protocol[MadeOf]):
    """A bundle in the making: a model, planned for one recipe."""

    @property
    def recipe(self) -> Recipe: ...

    def write(self, folder: Path) -> Written:
        """Quantises, and writes the files of the graphs.

        Raises:
            ExportError: the model cannot become these graphs.
        """
        ...

    def verify(self, folder: Path, written: Written) -> Parity:
        """Compares what is written with the model.

        Raises:
            ParityError: it is further off than the recipe allows; says by how much.
        """
        ...

    def look(self, written: Written) -> Look | None:
        """The model and a sequence to look at its attention with; None where there is no attention to be looked at."""
        ...

    def manifest(self, written: Written, common: Common) -> MadeOf:
        """Says what the bundle is: ``common``, and what models of this kind have besides."""
        ...


class Subject(Protocol[MadeOf]):
    """A model in memory that bundles can be made of.

    Attributes:
        tokenizer_json: content of the bundle's tokenizer.json, if it has one.
        known_ids: the ids, from 0 on, that the model takes; None where it takes no tokens.
        encode: text to token ids, without special tokens; None for a model that reads no text.
    """

    @property
    def tokenizer_json(self) -> str | None: ...
    @property
    def known_ids(self) -> int | None: ...
    @property
    def encode(self) -> Encode | None: ...

    def drafts(self, recipes: Sequence[Recipe], order: Order) -> Iterator[Draft[MadeOf]]:
        """Plans a bundle for each of ``recipes``, when it is asked for. What they share is worked out once.

        Raises:
            ExportError: no bundle can be made of this model, or not of what ``order`` asks.
        """
        ...


class Kind(Protocol):
    """A kind of model: what can be asked of it, known before any weights are read, and how it is loaded.

    Attributes:
        task: what its models are served for. takes_context_length: whether an order may have one.
    """

    @property
    def task(self) -> str: ...
    @property
    def takes_context_length(self) -> bool: ...

    def recipes(self, asked: Asked) -> list[Recipe]:
        """What is tried, in this order; one of them unless ``asked`` is for the fastest.

        Raises:
            ExportError: models of this kind are not exported so; says how they are.
        """
        ...

    def load(self, folder: SourceFolder) -> Subject[Manifest]:
        """The model of ``folder``.

        Raises:
            ExportError: it cannot be read, or a bundle has no place for it.
        """
        ...
