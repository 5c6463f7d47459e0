"""Which model a call means: by its name, or for want of one the only one that can do what the call wants."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from attendant.bundle import Capability, EncoderTask
from attendant.core.errors import AttendantError, InvalidRequest, ModelNotFound
from attendant.core.repository import full_name, split_name


class Known(Protocol):
    """A model of this server, whether it can be served or not."""

    @property
    def name(self) -> str:
        """What callers call it."""

    @property
    def version(self) -> str:
        """Which version of the model it is."""

    @property
    def current(self) -> bool:
        """Whether calls that name no version go to it; of a name it is one version's."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can do, or could; its task first."""

    def refusal(self) -> AttendantError | None:
        """What ends a call to it; None if it takes calls."""


K = TypeVar("K", bound=Known)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call needs of a model, and the sentences that refuse a call that does not get it.

    Attributes:
        capability: that the model has to have.
        by_default: where no model is named, the only one with the first of these that any model has.
        field: of the request, which names the model.
        ambiguous: the reason if no model is named and ``fitting`` would do; None: then none is found.
        other: the reason if the model ``name`` is for ``task`` instead.
        or_else: capabilities that will do, too. Then a call that names no model means the only one with any of them.
        at_last: capabilities that will do, too. A call that names no model means the only one with any of them where
            no model has one of the others.
    """

    capability: Capability
    by_default: tuple[Capability, ...]
    field: str
    ambiguous: str | None
    other: str
    or_else: tuple[Capability, ...] = ()
    at_last: tuple[Capability, ...] = ()

    def fits(self, capabilities: Collection[Capability]) -> bool:
        """Whether a model with these can be asked."""
        return any(each in capabilities for each in (self.capability, *self.or_else, *self.at_last))

    def defaults(self) -> tuple[tuple[Capability, ...], ...]:
        """What a call that names no model wants: a model with any of the first ones, else any of the next."""
        first = ((self.capability, *self.or_else),) if self.or_else else tuple((each,) for each in self.by_default)
        return (*first, self.at_last)


def _for_task(task: Capability, *by_default: Capability, ambiguous: bool) -> Wanted:
    allowed = f"allowed, for task {task}: {{fitting}}"
    return Wanted(
        task,
        by_default or (task,),
        "model",
        f"is empty; {allowed}" if ambiguous else None,
        f"is {{name}}, which is for task {{task}}; {allowed}",
    )


GENERATE = _for_task("generate", "continue", "generate", ambiguous=False)
TRANSLATE = _for_task("generate", "translate", ambiguous=False)
SPEECH = Wanted(
    "speech",
    ("speech",),
    "model",
    "is empty; allowed: {fitting}",
    "is {name}, which does not write what it hears; allowed, for speech: {fitting}",
)


ATTENTION = Wanted(
    "attention",
    ("attention",),
    "model",
    "is empty; allowed, of those that give attention: {fitting}",
    "is {name}, whose bundle gives no attention (attendant export has --attention and --add-attention for it); "
    "allowed, of those that do: {fitting}",
)
ATTRIBUTE = Wanted(
    "generate",
    ("generate",),
    "model",
    "is empty; allowed, of those that generate or classify texts: {fitting}",
    "is {name}, which is for task {task}; allowed, of those that generate or classify texts: {fitting}",
    or_else=("classify", "rerank"),
)

ENGINE = Wanted(
    "generate",
    ("generate",),
    "model",
    "is empty; allowed, of those that generate or embed texts: {fitting}",
    "is {name}, which is for task {task}; allowed, of those that generate or embed texts: {fitting}",
    or_else=("embed",),
)
"""What a port of vLLM's contract serves."""

TEXT_TASKS: tuple[EncoderTask, ...] = ("embed", "classify", "rerank", "fill_mask", "classify_tokens", "answer")
"""Of models that encode texts."""

_READERS = "of those that read texts: {fitting}"
_NO_READER = f"is {{name}}, which is for task {{task}}; allowed, {_READERS}"
WORDS = Wanted("generate", ("continue", "generate"), "model", None, _NO_READER, at_last=TEXT_TASKS)
"""A model's tokenizer."""

ENCODER_WORDS = Wanted(
    "embed",
    ("embed",),
    "model",
    f"is empty; allowed, {_READERS}",
    _NO_READER,
    or_else=TEXT_TASKS,
    at_last=("generate",),
)
"""The same, where the callers are those of models that encode."""


def encoding(task: EncoderTask) -> Wanted:
    """A call of the service Encoding."""
    return _for_task(task, ambiguous=True)


def find(models: Iterable[K], name: str, wanted: Wanted) -> K:
    """The model called ``name``, which can do what is wanted; an empty name means the only one that can. A name
    may have a version behind it, ``name@2``; without one the current version is meant.

    Models that cannot be served count where the name is left out: an answer never comes from another model for that.

    Raises:
        ModelNotFound: with the names that exist; with the versions, if the call named one.
        AttendantError: the model refuses; for example ModelFailed, as it cannot be served.
        InvalidRequest: it is for something else, or no name was given and several would do.
    """
    every = list(models)
    known = [model for model in every if model.current]
    found = named(every, name) if name else _only(known, wanted)
    if found is None:
        several = not name and any(_fitting(known, wanted))
        raise not_found(every, name, None if several else wanted.by_default[-1])
    if refusal := found.refusal():
        raise refusal
    if not wanted.fits(found.capabilities):
        fitting = _listed(model for model in known if wanted.fits(model.capabilities))
        raise InvalidRequest(
            wanted.field, wanted.other.format(name=repr(name), task=found.capabilities[0], fitting=fitting)
        )
    return found


def named(models: Iterable[K], name: str) -> K | None:
    """The model, or the version of one, that a call means by ``name``; None if there is none."""
    plain, version = split_name(name)
    found = [
        model for model in models if model.name == plain and (model.version == version if version else model.current)
    ]
    # while new files of a version are loaded, those from before take the calls
    return next((model for model in found if model.refusal() is None), next(iter(found), None))


def not_found(models: Iterable[Known], name: str, task: str | None = None) -> ModelNotFound:
    """What a call hears that means none of the models."""
    with_versions = bool(split_name(name)[1])
    loaded, failed = set[str](), set[str]()
    for model in models:
        if with_versions or model.current:
            shown = full_name(model.name, model.version if with_versions else "")
            (loaded if model.refusal() is None else failed).add(shown)
    return ModelNotFound(name, tuple(sorted(loaded)), task, tuple(sorted(failed)))


def _only(models: Iterable[K], wanted: Wanted) -> K | None:
    """The one model that fits; None if none or several do."""
    fitting = _fitting(models, wanted)
    if len(fitting) > 1 and wanted.ambiguous is not None:
        raise InvalidRequest(wanted.field, wanted.ambiguous.format(fitting=_listed(fitting)))
    return fitting[0] if len(fitting) == 1 else None


def _fitting(models: Iterable[K], wanted: Wanted) -> list[K]:
    """Every model that a call may mean which names none."""
    known = list(models)
    for group in wanted.defaults():
        if fitting := [model for model in known if any(each in model.capabilities for each in group)]:
            return fitting
    return []


def _listed(models: Iterable[Known]) -> str:
    return ", ".join(sorted(repr(model.name) for model in models)) or "no model of this server"
