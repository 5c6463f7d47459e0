"""The chat templates of a bundle, rendered in a sandbox to the text that transformers' apply_chat_template gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

DEFAULT_TEMPLATE = "default"
TOOLS_TEMPLATE = "tool_use"
"""Name of the template for conversations with tools, in bundles that have several."""

Message = Mapping[str, Any]


class TemplateBroken(Exception):
    """A template does not compile. ``name``: of the template."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class TemplateRefused(Exception):
    """A template raised over a conversation; says why."""


class TemplateUnknown(Exception):
    """No template has the name that was asked for; names those that there are."""


class ChatTemplates:
    """The templates of one model.

    Args:
        sources: jinja sources by name; :data:`DEFAULT_TEMPLATE` is the one for conversations that name none.
        variables: what templates see beside the conversation: the model's special tokens by their names.

    Raises:
        TemplateBroken: one does not compile.
    """

    def __init__(self, sources: Mapping[str, str], variables: Mapping[str, str]) -> None:
        environment = _environment()
        self._variables = dict(variables)
        self._templates: dict[str, jinja2.Template] = {}
        for name, source in sources.items():
            try:
                self._templates[name] = environment.from_string(source)
            except (jinja2.TemplateError, SyntaxError, RecursionError) as error:
                raise TemplateBroken(name, str(error) or type(error).__name__) from error

    def render(
        self,
        messages: Sequence[Message],
        name: str = "",
        *,
        tools: Sequence[Message] | None = None,
        documents: Sequence[Message] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """A conversation as one text.

        Args:
            messages: at least one; values that are None count as absent.
            name: of a template; empty for the default one, or with ``tools`` for the one that knows them.
            tools, documents: None where there are none, which templates can tell from an empty list.
            add_generation_prompt: end with what an answer of the assistant begins with.

        Raises:
            TemplateRefused: the template raises an exception.
            TemplateUnknown: there is none of this name.
        """
        template = self._choose(name, tools)
        turns = [{key: value for key, value in message.items() if value is not None} for message in messages]
        seen = {"messages": turns, "tools": tools, "documents": documents}
        try:
            return template.render(**self._variables, **seen, add_generation_prompt=add_generation_prompt)
        except SecurityError as error:
            raise TemplateRefused(f"it does what a sandbox forbids: {error}") from error
        except (
            *(jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError),
            *(RecursionError, NotImplementedError),
        ) as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error

    def _choose(self, name: str, tools: Sequence[Message] | None) -> jinja2.Template:
        wanted = name or (TOOLS_TEMPLATE if tools is not None and TOOLS_TEMPLATE in self._templates else "")
        found = self._templates.get(wanted or DEFAULT_TEMPLATE)
        if found is None:
            asked = f"is {name!r}" if name else "is empty, and this model has no default template"
            raise TemplateUnknown(f"{asked}; allowed: {', '.join(sorted(self._templates))}")
        return found


def _environment() -> ImmutableSandboxedEnvironment:
    """What a template may use: jinja's own words, and those that model folders count on."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["namespace"] = _Namespace
    environment.globals["dict"] = _Dict()
    return environment


class _Generation(Extension):
    """``{% generation %}`` around what the assistant says, by which training tells it apart: here it changes nothing.

    As a block that is called it has names of its own, like a macro.
    """

    tags = {"generation"}  # noqa: RUF012 (jinja declares it so)

    def parse(self, parser: Parser) -> Node:
        """The block as a node."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _Namespace(Namespace):
    """Jinja's, without attributes that Python keeps its own things in."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # a template may name an attribute `self`
        made, *values = args
        attributes = dict(*values, **kwargs)
        for name in attributes:
            _check_attribute(name)
        Namespace.__init__(made, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_attribute(name)
        super().__setitem__(name, value)


class _Dict:
    """``dict`` as a function of templates, without the attributes of the type."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """Does what :meth:`dict.fromkeys` does."""
        return dict.fromkeys(*args)


def _check_attribute(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace may not have the attribute {name!r}: it begins with an underscore")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the escapes for HTML that jinja's own filter makes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _strftime_now(format: str) -> str:  # noqa: A002 (the name by which templates pass it)
    return datetime.now().strftime(format)
