"""The sandbox that chat templates run in: jinja's own words, and those that transformers gives to templates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.utils import Namespace

from attendant.bundle.bounded import BoundedEnvironment

_LONGEST_FORMAT = 200
"""Characters of a format for the time."""


def template_environment() -> BoundedEnvironment:
    """What a template may use, within a budget: jinja's own words, and those that model folders count on."""
    environment = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _json_filter(environment)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["namespace"] = _Namespace
    environment.globals["dict"] = _Dict()
    environment.bound()
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

    def __repr__(self) -> str:
        return "<Namespace>"  # jinja's has all that is in it

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


def _json_filter(environment: BoundedEnvironment) -> Callable[..., str]:
    def to_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """JSON without the escapes for HTML that jinja's own filter makes."""
        return environment.to_json(value, indent, ensure_ascii=ensure_ascii, separators=separators, sort_keys=sort_keys)

    return to_json


def _raise_exception(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _strftime_now(format: str) -> str:  # noqa: A002 (the name by which templates pass it)
    if len(format) > _LONGEST_FORMAT:
        raise jinja2.TemplateError(f"a format of {len(format)} characters; allowed: at most {_LONGEST_FORMAT}")
    return datetime.now().strftime(format)
