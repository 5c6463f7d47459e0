"""The routes file: names that callers use as models, and what answers them. It is checked here as far as that can be
done without models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from attendant.core.errors import ConfigurationError
from attendant.settings.section import Section
from attendant.settings.yaml_files import parse_yaml, read_text
from attendant.settings.yaml_lines import Place, YamlLines

RouteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(@[A-Za-z0-9][A-Za-z0-9._+-]{0,63})?$")]
"""A model, a version of it as ``model@version``, or a route."""
StepName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Weight = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
OnFailure = Literal["fail", "rest"]


class Target(Section):
    """A model, or a route, and how much it counts."""

    model: ModelName
    weight: Weight = 1.0


class AliasRoute(Section):
    """Another name."""

    kind: Literal["alias"]
    model: ModelName

    @property
    def targets(self) -> tuple[Target, ...]:
        """The only one."""
        return (Target(model=self.model),)


class CanaryRoute(Section):
    """One of several by weight. ``sticky``: calls with the same key go to the same one. The key is the request's
    metadata ``x-route-key``, else that of the name given here."""

    kind: Literal["canary"]
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    sticky: bool | Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,64}$")] = False

    @field_validator("targets")
    @classmethod
    def _can_choose(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        return _different(value)


class ShadowRoute(Section):
    """A model whose calls another one gets, too: ``share`` of them, at most ``max_running`` at once, each for at most
    ``timeout_s`` seconds."""

    kind: Literal["shadow"]
    model: ModelName
    shadow: ModelName
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_running: Annotated[int, Field(ge=1, le=256)] = 1
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @property
    def targets(self) -> tuple[Target, ...]:
        """The model that answers; then the one whose answers are dropped."""
        return (Target(model=self.model), Target(model=self.shadow))


class FusionRoute(Section):
    """One answer of several models: the mean of what they say, or what most of them say. ``on_failure``: of a member,
    the call fails, or has the answer of the rest."""

    kind: Literal["mean", "vote"]
    members: Annotated[tuple[Target, ...], Field(min_length=1)]
    task: Literal["classify", "classify_image", "embed", "rerank"] = "classify"
    on_failure: OnFailure = "fail"

    @property
    def targets(self) -> tuple[Target, ...]:
        """Its members."""
        return self.members

    @field_validator("members")
    @classmethod
    def _can_choose(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        return _different(value)

    @model_validator(mode="after")
    def _votes_are_for_labels(self) -> Self:
        if self.kind == "vote" and self.task not in ("classify", "classify_image"):
            raise ValueError(f"task is {self.task!r}; allowed with kind vote: classify, classify_image")
        return self


class RankMember(Target):
    """A reranker, or a model that embeds; then ``query_prompt`` and ``document_prompt`` name prompts of it, and without
    them its default one counts."""

    query_prompt: str = ""
    document_prompt: str = ""


class RankRoute(Section):
    """One order of documents from several, by reciprocal rank fusion."""

    kind: Literal["rrf"]
    members: Annotated[tuple[RankMember, ...], Field(min_length=1)]
    k: Annotated[float, Field(ge=0, le=1e6)] = 60.0
    on_failure: OnFailure = "fail"

    @property
    def targets(self) -> tuple[Target, ...]:
        """Its members."""
        return self.members

    @field_validator("members")
    @classmethod
    def _can_choose(cls, value: tuple[RankMember, ...]) -> tuple[RankMember, ...]:
        _different(value)
        return value


StepTask = Literal["transcribe", "translate", "generate", "classify", "embed"]


class Step(Section):
    """A part of a pipeline. ``prompt``: a template of what it is given; without one, the text that the step before
    gave. ``chat``: what it is given is a user's message, after ``system`` as the system's."""

    name: StepName
    do: StepTask
    model: ModelName
    prompt: str = ""
    chat: bool = False
    system: str = ""
    language: str = ""
    source_language: str = ""
    target_language: str = ""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    stop: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_what_it_does(self) -> Self:
        for does, fields in _ONLY.items():
            for field in fields:
                if self.do not in does and getattr(self, field) != type(self).model_fields[field].default:
                    raise ValueError(f"{field} is given; allowed in a step that does {' or '.join(does)}")
        if self.system and not self.chat:
            raise ValueError("system is given; allowed with chat: true")
        return self


_ONLY: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("transcribe",): ("language",),
    ("translate",): ("source_language", "target_language"),
    ("generate",): ("chat", "system"),
    ("translate", "generate"): ("max_tokens", "temperature", "seed", "stop"),
    ("translate", "generate", "classify", "embed"): ("prompt",),
}


class PipelineRoute(Section):
    """Models one after another: what one says goes into the next one's prompt."""

    kind: Literal["pipeline"]
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The model of each step."""
        return tuple(Target(model=step.model) for step in self.steps)

    @field_validator("steps")
    @classmethod
    def _have_names(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        names = [step.name for step in value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two have the name {twice!r}; allowed: each its own")
        for step in value[1:]:
            if step.do == "transcribe":
                raise ValueError(f"{step.name!r} does transcribe, and nothing gives sound; allowed: as the first step")
        for step in value[:-1]:
            if step.do == "embed":
                raise ValueError(f"{step.name!r} does embed, and nothing reads vectors; allowed: as the last step")
        if value[0].do == "transcribe" and value[-1].do in ("classify", "embed"):
            raise ValueError(
                f"take sound and end with {value[-1].do}, which is no call; allowed: an end that gives text"
            )
        return value


AnyRoute = AliasRoute | CanaryRoute | ShadowRoute | FusionRoute | RankRoute | PipelineRoute


class RoutesSpec(Section):
    """What a routes file says. ``seed``: of what is decided by chance; without one, nobody knows it before."""

    routes: dict[RouteName, Annotated[AnyRoute, Field(discriminator="kind")]]
    seed: int | None = None


@dataclass(frozen=True)
class RoutesFile:
    """A routes file that was read, which knows where each thing stands in it."""

    spec: RoutesSpec
    lines: YamlLines

    @classmethod
    def read(cls, path: Path) -> RoutesFile:
        """Raises ConfigurationError: one line that names the file, the line and the place, and what is allowed."""
        return cls.parse(read_text(path), str(path))

    @classmethod
    def parse(cls, text: str, name: str = "routes.yaml") -> RoutesFile:
        """The file ``name`` with this text; raises what :meth:`read` raises."""
        lines = YamlLines.of(text, name)
        data = parse_yaml(text, name)
        if not isinstance(data, dict):
            raise ConfigurationError(f"{name}: must hold routes by name, e.g. 'routes: {{chat: {{kind: alias, ...}}}}'")
        try:
            return cls(RoutesSpec.model_validate(data), lines)
        except ValidationError as error:
            raise ConfigurationError(_explain(error, lines)) from None

    def error(self, place: Place, what: str) -> ConfigurationError:
        """An error of something at ``place``."""
        return ConfigurationError(f"{self.lines.named(place)}: {what}")


def _different(targets: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [target.model for target in targets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} is there twice; allowed: each model once")
    if not any(target.weight for target in targets):
        raise ValueError("all weights are 0; allowed: at least one above")
    return targets


def _explain(error: ValidationError, lines: YamlLines) -> str:
    first = error.errors()[0]
    place = list(first["loc"])
    if len(place) > 2 and place[0] == "routes":
        del place[2]  # pydantic names the kind there, which is no place in the file
    where: Place = ()
    for index, part in enumerate(place):  # beside places, pydantic names the kinds of value that it tried
        if (*where, part) in lines or (first["type"] == "missing" and index == len(place) - 1):
            where = (*where, part)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"].startswith("union_tag"):
        where = (*where, "kind")
        given = first["ctx"].get("tag")
        message = f"{'is missing' if given is None else f'is {given!r}'}; allowed: {', '.join(_kinds())}"
    elif first["type"] == "extra_forbidden":
        message = "there is no such field here"
    elif not isinstance(first["input"], dict | list):
        message += f" (it is {str(first['input'])!r})"
    return f"{lines.named(where)}: {message}"


def _kinds() -> tuple[str, ...]:
    """That routes can have, in the order of their classes."""
    return tuple(kind for route in get_args(AnyRoute) for kind in get_args(route.model_fields["kind"].annotation))
