"""Whether an object is one that Kubernetes takes: core kinds by the schemas of kubernetes-validate, others by those of
tests/deploy/schemas, which were written down from their published Go types. Fields that a schema does not name are
errors, as a cluster drops mistyped ones in silence."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

NEWEST = "1.37"
"""Of the versions of Kubernetes that kubernetes-validate has."""
CORE = "https://kubernetes.io/api/_definitions.json"
PREFIXES = {
    "core.v1.": "io.k8s.api.core.v1.",
    "apps.v1.": "io.k8s.api.apps.v1.",
    "autoscaling.v2.": "io.k8s.api.autoscaling.v2.",
    "meta.v1.": "io.k8s.apimachinery.pkg.apis.meta.v1.",
}
"""How our schemas name what is Kubernetes' own."""

SHARED: dict[str, Any] = {
    "hostnames": {"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1, "maxLength": 253}},
    "parentRefs": {
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                **{name: {"type": "string"} for name in ("group", "kind", "namespace", "name", "sectionName")},
                "port": {"type": "integer"},
            },
        },
    },
    "backendRefs": {
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                **{name: {"type": "string"} for name in ("group", "kind", "namespace", "name")},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "weight": {"type": "integer", "minimum": 0},
            },
            # A Service has to be told a port.
            "if": {"not": {"required": ["kind"], "properties": {"kind": {"not": {"const": "Service"}}}}},
            "then": {"required": ["port"]},
        },
    },
}
"""Of all routes of the Gateway API."""


def check(made: dict[str, Any], kubernetes: str = NEWEST) -> None:
    """Raises jsonschema.ValidationError for an object that is wrong, KeyError for a kind that has no schema."""
    key = made["apiVersion"], made["kind"]
    (schemas().get(key) or core(*key, kubernetes)).validate(made)


@cache
def core(version: str, kind: str, kubernetes: str) -> jsonschema.Draft202012Validator:
    """The schema of kubernetes-validate, whose own function reads two megabytes at each call. Raises KeyError."""
    group, _, number = version.rpartition("/")
    file = (
        _folder(kubernetes)
        / f"{kind.lower()}-{'-'.join(part for part in (group.partition('.')[0], number) if part)}.json"
    )
    if not file.is_file():
        raise KeyError(f"{version} {kind}")
    return jsonschema.Draft202012Validator(json.loads(file.read_text(encoding="utf-8")), registry=_registry(kubernetes))


@cache
def schemas() -> dict[tuple[str, str], jsonschema.Draft202012Validator]:
    """Those of tests/deploy/schemas, by version and kind."""
    found = {}
    for path in sorted((Path(__file__).parent / "schemas").glob("*.yaml")):
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        schema = _complete(_whole(written))
        jsonschema.Draft202012Validator.check_schema(schema)
        key = written["apiVersion"], written["kind"]
        resolver = _registry(NEWEST).with_resource(
            "", Resource.from_contents(schema, default_specification=DRAFT202012)
        )
        found[key] = jsonschema.Draft202012Validator(schema, registry=resolver)
    return found


@cache
def _registry(kubernetes: str) -> Registry[Any]:
    definitions = json.loads((_folder(kubernetes) / "_definitions.json").read_text(encoding="utf-8"))
    return Registry().with_resource(CORE, Resource.from_contents(definitions))


def _folder(kubernetes: str) -> Path:
    package = files("kubernetes_validate")
    assert isinstance(package, Path)
    return package / "kubernetes-json-schema" / f"v{kubernetes}.0-local-strict"


def _whole(written: dict[str, Any]) -> dict[str, Any]:
    head = {name: {"const": written[name]} for name in ("apiVersion", "kind")}
    if "file" in written:
        body = written["file"]
        properties, required = {**head, **body["properties"]}, [*head, *body["required"]]
    else:
        properties = {**head, "metadata": {"$ref": "meta.v1.ObjectMeta"}, "spec": written["spec"]}
        required = [*head, "metadata", "spec"]
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "$defs": {**SHARED, **written.get("$defs", {})},
    }


def _complete(schema: Any) -> Any:
    """With names of Kubernetes' own written out, and objects that take nothing besides what they name."""
    if isinstance(schema, list):
        return [_complete(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value if key in ("const", "enum") else _complete(value) for key, value in schema.items()}
    if isinstance(reference := made.get("$ref"), str):
        for short, long in PREFIXES.items():
            if reference.startswith(short):
                made["$ref"] = f"{CORE}#/$defs/{long}{reference.removeprefix(short)}"
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made
