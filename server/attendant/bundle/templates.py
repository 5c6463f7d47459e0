"""The chat templates of a bundle, rendered in a sandbox to the text that transformers' apply_chat_template gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError

from attendant.bundle.continuing import cut_at, marked
from attendant.bundle.habits import habits_of
from attendant.bundle.sandbox import template_environment
from attendant.bundle.template_budget import TooMuch

DEFAULT_TEMPLATE = "default"
TOOLS_TEMPLATE = "tool_use"
"""Name of the template for conversations with tools, in bundles that have several."""

MAX_SOURCE = 2**18
"""Characters of a template."""

REASONING = "reasoning_content"
"""The key of a message that has what the assistant thought before it answered."""

Message = Mapping[str, Any]


class TemplateBroken(Exception):
    """A template cannot be used. ``name``: of the template. ``compiles``: it does, but takes more than it may."""

    def __init__(self, name: str, reason: str, *, compiles: bool) -> None:
        super().__init__(reason)
        self.name = name
        self.compiles = compiles


class TemplateRefused(Exception):
    """A template raised over a conversation; says why."""


class TemplateUnknown(Exception):
    """No template has the name that was asked for; names those that there are."""


class ChatTemplate:
    """One template.

    Args:
        source: in jinja. special_tokens: the model's, by the names that templates have for them.

    Attributes:
        habits: what it looks at, and how it wants it.

    Raises:
        TemplateRefused: it does not compile, or takes too much.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._source = source
        self._special_tokens = dict(special_tokens)
        if len(source) > MAX_SOURCE:
            raise TemplateRefused(f"it has {len(source)} characters; allowed: at most {MAX_SOURCE}")
        environment = template_environment()
        self._budgets = environment.budgets
        try:
            with self._budgets.of({}):  # what is constant is found when it is compiled, and looked at
                self._compiled = environment.from_string(source)
                tree = environment.parse(source)
                self.habits = habits_of(tree, self._attempt, tuple(special_tokens))
        except (jinja2.TemplateError, SyntaxError, RecursionError, ValueError, OverflowError) as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Message] | None = None,
        documents: Sequence[Message] | None = None,
        variables: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        continues: str = "",
    ) -> str:
        """A conversation as one text.

        Args:
            messages: at least one; values that are None count as absent.
            tools, documents: None where there are none, which templates can tell from an empty list.
            variables: more that the template sees, by name; special tokens of the same name give way to them.
            add_generation_prompt: end with what an answer of the assistant begins with.
            continues: the key of the last message whose text the answer goes on with: "content", or
                :data:`REASONING`. The text ends there, without what an answer begins with.

        Raises:
            TemplateRefused: the template raises an exception, or takes more than it may (:mod:`.template_budget`).
            ContinuesNot: the text to go on with is not in what the template makes of the conversation.
        """
        turns = [_turn(message) for message in messages]
        goes_on = marked(turns, continues, self._source) if continues else None
        seen = {**self._special_tokens, **(variables or {}), "messages": turns, "tools": tools, "documents": documents}
        seen["add_generation_prompt"] = add_generation_prompt and goes_on is None
        try:
            with self._budgets.of(seen):
                text = self._compiled.render(seen)
        except SecurityError as error:
            raise TemplateRefused(f"it does what a sandbox forbids: {error}") from error
        except (
            *(jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError),
            *(RecursionError, NotImplementedError),
        ) as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error
        return text if goes_on is None else cut_at(text, goes_on)

    def _attempt(self, messages: Sequence[Message]) -> str | None:
        try:
            return self.render(messages)
        except TemplateRefused as error:
            if isinstance(error.__cause__, TooMuch):
                raise error.__cause__ from None  # it would take as much for each that it is tried with
            return None


class ChatTemplates:
    """The templates of one model.

    Args:
        sources: jinja sources by name; :data:`DEFAULT_TEMPLATE` is the one for conversations that name none.
        variables: what templates see beside the conversation: the model's special tokens by their names.

    Raises:
        TemplateBroken: one does not compile, or takes too much.
    """

    def __init__(self, sources: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self._templates: dict[str, ChatTemplate] = {}
        for name, source in sources.items():
            try:
                self._templates[name] = ChatTemplate(source, variables)
            except TemplateRefused as error:
                raise TemplateBroken(name, str(error), compiles=isinstance(error.__cause__, TooMuch)) from error

    @property
    def all(self) -> Sequence[ChatTemplate]:
        """Every template."""
        return tuple(self._templates.values())

    def choose(self, name: str = "", *, has_tools: bool = False) -> ChatTemplate:
        """The template of this name; without a name the default one, or for a conversation with tools the one that
        knows them. Raises TemplateUnknown."""
        wanted = name or (TOOLS_TEMPLATE if has_tools and TOOLS_TEMPLATE in self._templates else "")
        found = self._templates.get(wanted or DEFAULT_TEMPLATE)
        if found is None:
            asked = f"is {name[:100]!r}" if name else "is empty, and this model has no default template"
            raise TemplateUnknown(f"{asked}; allowed: {', '.join(sorted(self._templates))}")
        return found


def _turn(message: Message) -> dict[str, Any]:
    """A message as templates see it. What was thought has two names: templates know one of them."""
    turn = {key: value for key, value in message.items() if value is not None}
    return {"thinking": turn[REASONING], **turn} if REASONING in turn else turn
