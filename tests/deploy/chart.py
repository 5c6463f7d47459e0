"""The chart as Helm renders it, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from attendant.settings import ServeSettings

from deploy.files import HERE
from tests.deploy.settings import load_settings

helm = pytest.importorskip("helm_python", reason="Helm's library has no wheel for this machine")

CHART = HERE / "chart"
EXAMPLES = CHART / "examples"
NAME, NAMESPACE = "chat", "prod"
FULL_NAME = "chat-attendant"


@dataclass(frozen=True)
class Rendering:
    """The objects of a release, and what its notes say."""

    objects: tuple[dict[str, Any], ...]
    notes: str

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [made for made in self.objects if made["kind"] == kind]

    def one(self, kind: str, name: str = FULL_NAME) -> dict[str, Any]:
        (found,) = (made for made in self.all(kind) if made["metadata"]["name"] == name)
        return found

    def pod(self) -> dict[str, Any]:
        found: dict[str, Any] = self.one("Deployment")["spec"]["template"]
        return found

    def container(self) -> dict[str, Any]:
        (found,) = self.pod()["spec"]["containers"]
        assert isinstance(found, dict)
        return found

    def config(self, name: str = FULL_NAME) -> str:
        """Text of the server's config.yaml."""
        text: str = self.one("ConfigMap", name)["data"]["config.yaml"]
        return text

    def settings(self, folder: Path, name: str = FULL_NAME) -> ServeSettings:
        """What the server makes of its config.yaml."""
        path = folder / "config.yaml"
        path.write_text(self.config(name), encoding="utf-8")
        return load_settings("--config", str(path))


def render(values: Mapping[str, Any] | None = None, **more: Any) -> Rendering:
    """The chart with these values. Raises helm.HelmError, also where they do not go together."""
    return _render(json.dumps({**(values or {}), **more}))


@cache
def _render(values: str) -> Rendering:
    rendered = _chart().render(json.loads(values), name=NAME, namespace=NAMESPACE)
    notes = "".join(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
    texts = (text for path, text in rendered.items() if not path.endswith(("NOTES.txt", ".tpl")))
    made = (one for text in texts for one in yaml.load_all(text, Loader=_Once) if one is not None)
    return Rendering(tuple(made), notes)


def example(name: str) -> dict[str, Any]:
    """Values of examples/values."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / "values" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@cache
def _chart() -> Any:
    return helm.Chart.load(CHART)


class _Once(yaml.CSafeLoader):
    """Takes a key once: of two, a cluster keeps one without a word."""


def _mapping(loader: _Once, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [
        (loader.construct_object(key, deep=True), loader.construct_object(value, deep=True))
        for key, value in node.value
    ]
    keys = [key for key, _ in pairs]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise yaml.YAMLError(f"{node.start_mark}: {sorted(map(str, twice))} are there twice")
    return dict(pairs)


_Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
