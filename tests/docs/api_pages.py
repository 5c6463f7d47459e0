"""The pages docs/api/*.md: every service, call, message and field of the contract, from comments in .proto files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

REPOSITORY = Path(__file__).parents[2]
PROTO = REPOSITORY / "proto"
PACKAGE = "attendant.v1"

# Numbers of fields in descriptor.proto, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
FIELD, NESTED, NESTED_ENUM = 2, 3, 4
METHOD = VALUE = 2
ONEOF = 8
SYNTAX = 12
CODE = r"\b([A-Z]+_[A-Z_]+|CANCELLED|UNAVAILABLE|INTERNAL)\b"

Place = tuple[int, ...]
SCALARS = {
    getattr(FieldDescriptorProto, name): name.removeprefix("TYPE_").lower()
    for name in FieldDescriptorProto.Type.keys()  # noqa: SIM118 - no mapping, but a wrapper of an enum
}


def read_files() -> dict[str, FileDescriptorProto]:
    """The contract's files by the last part of their names, with comments."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("attendant_proto/v1/*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        words = ["protoc", f"-I{PROTO}", "--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main([*words, *sources]):
            raise RuntimeError("protoc refused the contract")
        files = FileDescriptorSet.FromString(out.read_bytes()).file
    return {Path(file.name).stem: file for file in files}


def api_pages() -> dict[str, str]:
    """The pages by their path below docs/."""
    files = read_files()
    homes = {name: stem for stem, file in files.items() for name in _names(file)}
    return {f"api/{stem}.md": _Page(stem, file, homes).text() for stem, file in files.items()}


@dataclass(frozen=True)
class Call:
    """One method of a service, and what the contract says of it: ``errors`` is that part of a comment."""

    service: str
    method: MethodDescriptorProto
    comment: str
    errors: str


def calls(file: FileDescriptorProto) -> Iterator[Call]:
    """Every call of a file; the errors of one that names none are those of its service."""
    comments = _comments(file)
    for number, service in enumerate(file.service):
        _, for_all = _without_errors(comments.get((SERVICE, number), ""))
        for index, method in enumerate(service.method):
            text, errors = _without_errors(comments.get((SERVICE, number, METHOD, index), ""))
            yield Call(service.name, method, text, errors or for_all)


class _Page:
    """The page of one file. ``homes``: which page has a message or an enum."""

    def __init__(self, stem: str, file: FileDescriptorProto, homes: dict[str, str]) -> None:
        self._stem, self._file, self._homes = stem, file, homes
        self._comments = _comments(file)

    def text(self) -> str:
        about = _paragraphs(self._comments.get((SYNTAX,), ""))
        title = " and ".join(service.name for service in self._file.service)
        lines = [f"# {title}", "", *about, f"Package `{PACKAGE}`, file `{self._file.name}`.", ""]
        for number, service in enumerate(self._file.service):
            lines += self._service(number, service.name)
        lines += ["## Messages", ""]
        for number, message in enumerate(self._file.message_type):
            lines += self._message(message, message.name, (MESSAGE, number))
        for number, enum in enumerate(self._file.enum_type):
            lines += self._enum(enum, enum.name, (ENUM, number))
        return "\n".join(lines).rstrip() + "\n"

    def _service(self, number: int, name: str) -> Iterator[str]:
        text, errors = _without_errors(self._comments.get((SERVICE, number), ""))
        yield from (f"## Service {name}", "")
        yield from _paragraphs(text)
        if errors:
            yield from (f"**Errors** of its calls: {_sentence(errors)}", "")
        for call in calls(self._file):
            if call.service != name:
                continue
            method = call.method
            took, gives = (self._link(_local(kind)) for kind in (method.input_type, method.output_type))
            took = f"stream of {took}" if method.client_streaming else took
            gives = f"stream of {gives}" if method.server_streaming else gives
            yield from (f"### {name}.{method.name}", "", f"{took} → {gives}", "")
            yield from _paragraphs(call.comment)
            if call.errors and call.errors != errors:
                yield from (f"**Errors**: {_sentence(call.errors)}", "")

    def _message(self, message: DescriptorProto, name: str, place: Place) -> Iterator[str]:
        yield from (f"### {name}", "")
        yield from _paragraphs(self._comments.get(place, ""))
        for number, oneof in enumerate(message.oneof_decl):
            if (*place, ONEOF, number) in self._comments:
                yield from _paragraphs(f"`{oneof.name}`: {self._comments[*place, ONEOF, number]}")
        if message.field:
            yield from ("| field | type | meaning |", "|---|---|---|")
            for number, field in enumerate(message.field):
                meaning = " ".join(self._comments.get((*place, FIELD, number), "").split())
                kind, oneof = self._type(field, message), _oneof(field, message)
                choice = f"One of `{oneof}`. " if oneof else ""
                yield f"| `{field.name}` = {field.number} | {kind} | {_cell(choice + meaning).strip()} |"
            yield ""
        else:
            yield from ("It has no fields.", "")
        for number, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message(nested, f"{name}.{nested.name}", (*place, NESTED, number))
        for number, enum in enumerate(message.enum_type):
            yield from self._enum(enum, f"{name}.{enum.name}", (*place, NESTED_ENUM, number))

    def _enum(self, enum: EnumDescriptorProto, name: str, place: Place) -> Iterator[str]:
        yield from (f"### {name}", "")
        yield from _paragraphs(self._comments.get(place, ""))
        yield from ("| value | meaning |", "|---|---|")
        for number, value in enumerate(enum.value):
            meaning = " ".join(self._comments.get((*place, VALUE, number), "").split())
            yield f"| `{value.name}` = {value.number} | {_cell(meaning)} |"
        yield ""

    def _type(self, field: FieldDescriptorProto, message: DescriptorProto) -> str:
        for nested in message.nested_type:
            if nested.options.map_entry and field.type_name.endswith(f".{message.name}.{nested.name}"):
                key, value = (self._type(part, nested) for part in nested.field)
                return f"map of {key} to {value}"
        kind = self._link(_local(field.type_name)) if field.type_name else SCALARS[field.type]
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"repeated {kind}"
        return f"optional {kind}" if field.proto3_optional else kind

    def _link(self, name: str) -> str:
        home = self._homes[name]
        return f"[{name}]({'' if home == self._stem else f'{home}.md'}#{_anchor(name)})"


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")


def _local(name: str) -> str:
    return name.removeprefix(f".{PACKAGE}.")


def _names(file: FileDescriptorProto) -> Iterator[str]:
    def of(message: DescriptorProto, name: str) -> Iterator[str]:
        yield name
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        for nested in message.nested_type:
            yield from of(nested, f"{name}.{nested.name}")

    for message in file.message_type:
        yield from of(message, message.name)
    yield from (enum.name for enum in file.enum_type)


def _oneof(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    inside = field.HasField("oneof_index") and not field.proto3_optional
    return message.oneof_decl[field.oneof_index].name if inside else ""


def _comments(file: FileDescriptorProto) -> dict[Place, str]:
    found = {}
    for location in file.source_code_info.location:
        detached = "\n\n".join(location.leading_detached_comments)
        text = "\n\n".join(part for part in (detached, location.leading_comments) if part)
        if text.strip():
            found[tuple(location.path)] = text.strip()
    return found


def _without_errors(comment: str) -> tuple[str, str]:
    text, _, errors = comment.partition("Errors:")
    return text.strip(), " ".join(errors.split())


def _sentence(errors: str) -> str:
    """Each status code a link to what it means."""
    return re.sub(CODE, lambda code: f"[{code[0]}](errors.md#{code[0].lower()})", errors)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.strip():
            yield from (" ".join(paragraph.split()), "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
