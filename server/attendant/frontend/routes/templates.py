"""Templates of what a step of a pipeline is given, rendered in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = ("text", "input", "steps")
"""What a template sees: the text of the step before, the text that the call came with, the text of each step."""

MAX_TEXT = 4_000_000
"""Characters that a template may make."""


class TemplateWrong(Exception):
    """A template cannot be used; says why."""


class PromptTemplate:
    """A template.

    Args:
        before: names of the steps that have their texts when it is rendered.

    Attributes:
        names: what it asks for.

    Raises:
        TemplateWrong: it does not compile, or asks for what there is not.
    """

    def __init__(self, source: str, before: Sequence[str]) -> None:
        environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, SyntaxError, RecursionError) as error:
            raise TemplateWrong(f"is no template: {error}") from None
        self.names = frozenset(meta.find_undeclared_variables(tree))
        unknown = sorted(self.names - set(NAMES))
        asked = {str(found.attr) for found in tree.find_all(nodes.Getattr) if _is_steps(found.node)}
        asked |= {name for found in tree.find_all(nodes.Getitem) if (name := _constant(found)) is not None}
        later = [f"steps.{name}" for name in sorted(asked - set(before))]
        if unknown or later:
            allowed = ", ".join([*NAMES[:2], *(f"steps.{name}" for name in before)])
            raise TemplateWrong(f"names {', '.join([*unknown, *later])}; allowed: {allowed}")

    def render(self, text: str, given: str, steps: Mapping[str, str]) -> str:
        """What the step is given. Raises TemplateWrong: it raises over these texts, or makes too much."""
        try:
            made = self._template.render(text=text, input=given, steps=SimpleNamespace(**steps))
        except (
            *(jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError),
            *(RecursionError, NotImplementedError),
        ) as error:
            raise TemplateWrong(f"cannot be rendered: {error}") from None
        if len(made) > MAX_TEXT:
            raise TemplateWrong(f"makes {len(made)} characters; allowed: at most {MAX_TEXT}")
        return made


def _is_steps(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Name) and node.name == "steps"


def _constant(node: nodes.Getitem) -> str | None:
    return str(node.arg.value) if _is_steps(node.node) and isinstance(node.arg, nodes.Const) else None
