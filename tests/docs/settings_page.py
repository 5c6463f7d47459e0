"""The page docs/settings.md: every setting of the server, from the classes that read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attendant.settings import ENV_CONFIG, ENV_PREFIX, ServeSettings
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

TOP = "server"
HEADER = f"""# Settings

Every setting of `attendant serve`. A setting comes from a flag, from the environment, from a YAML file (`--config FILE`
or `{ENV_CONFIG}`), or has its default: the first of these that names it counts. In YAML the part before the dot is
a section: `engine: {{max_num_seqs: 8}}`. [Serving](serving.md) says which of them matter first.

A setting that does not exist, or a value that is not allowed, stops the server at its start with exit code 2 and one
line that says where it came from and what is allowed. A switch has `--NAME` and `--no-NAME`; in the environment `true`
and `false`.

Written by `python -m tests.docs`; a test keeps it true.
"""


def settings_page() -> str:
    """The page."""
    lines = [HEADER, f"## {TOP}", "", "The server as a whole.", "", *_table("", ServeSettings)]
    for name, field in ServeSettings.model_fields.items():
        if _section(field):
            section = field.annotation
            assert section is not None
            lines += [f"## {name}", "", (section.__doc__ or "").strip(), "", *_table(f"{name}.", section)]
    return "\n".join(lines).rstrip() + "\n"


def names() -> list[str]:
    """Every setting by its dotted name."""
    found = []
    for name, field in ServeSettings.model_fields.items():
        if _section(field):
            found += [f"{name}.{inner}" for inner in field.annotation.model_fields]
        else:
            found.append(name)
    return found


def _section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _table(prefix: str, section: Any) -> Iterator[str]:
    schema = section.model_json_schema()["properties"]
    yield from ("| setting | default | allowed | meaning | flag, environment |", "|---|---|---|---|---|")
    for name, field in section.model_fields.items():
        if not _section(field):
            meaning = (field.description or "").partition(" [env:")[0].replace("|", "\\|")
            where = f"{_flag(prefix + name)}<br>`{_variable(prefix + name)}`"
            yield f"| `{prefix}{name}` | {_default(field)} | {_allowed(schema[name])} | {meaning} | {where} |"
    yield ""


def _flag(name: str) -> str:
    return "`BUNDLES ...`, paths" if name == "bundles" else f"`--{name.replace('_', '-')}`"


def _variable(name: str) -> str:
    return ENV_PREFIX + name.replace(".", "__").upper()


def _default(field: FieldInfo) -> str:
    value = field.get_default()
    if value is None or value == ():
        return "—"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value.human_readable() if isinstance(value, ByteSize) else value}`"


def _allowed(schema: dict[str, Any]) -> str:
    parts = schema.get("anyOf", [schema])
    part = next(part for part in parts if part.get("type") != "null")
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    kind = {"integer": "whole number", "number": "number", "boolean": "switch", "array": "list"}
    bounds = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    return ", ".join([kind.get(part["type"], "text"), *(f"{w} {part[k]:g}" for k, w in bounds.items() if k in part)])
