"""Jinja's sandbox with a budget: whatever a template does that may take long, or make much, is counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from types import BuiltinMethodType
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from attendant.bundle.template_budget import Budgets, Containers
from attendant.bundle.template_checks import FILTERS, check_bits, check_method, check_percent, product

_COMPARED = 4  # steps of a comparison

_JINJAS = (Context, nodes.EvalContext, Environment)
"""What jinja hands to filters beside values."""

_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        (
            *("capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map"),
            *("index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower"),
            *("isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip"),
            *("partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition"),
            *("rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"),
            "zfill",
        )
    ),
    list: frozenset(("count", "copy", "index")),
    tuple: frozenset(("count", "index")),
    dict: frozenset(("copy", "get", "items", "keys", "values")),
    float: frozenset(("is_integer",)),
    int: frozenset(("bit_length",)),
}
"""Methods of Python's own types that templates may call: of each is known what it takes."""

_PASS_ON = frozenset(("attr", "d", "default", "first", "last", "max", "min", "random", "safe"))
"""Filters that give what they were given."""
_WALK = frozenset(("batch", "count", "dictsort", "groupby", "items", "length", "list", "map", "reject", "rejectattr"))
_WALK |= frozenset(("reverse", "select", "selectattr", "slice", "sort", "sum", "tojson", "unique"))
"""Filters that do not write the values in what they are given."""
_WITHOUT = ("pprint", "striptags", "urlize", "wordwrap", "xmlattr")
"""Filters of pages that take time without bounds, or are of no use for conversations."""


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose templates are rendered within ``budgets.of(...)``: without one, they are not bounded."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    class code_generator_class(CodeGenerator):  # noqa: N801 (jinja's name)
        """Has values that templates make go by the budget."""

        def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
            self._around("joined", super().visit_Tuple, nodes.Tuple(node.nodes, "load"), frame)

        def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
            self._around("compared", super().visit_Compare, node, frame)

        def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
            self._around("made", super().visit_List, node, frame)

        def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
            self._around("made", super().visit_Dict, node, frame)

        def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
            self._around("made" if node.ctx == "load" else "", super().visit_Tuple, node, frame)

        def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
            is_slice = isinstance(node.arg, nodes.Slice)
            self._around("made" if is_slice else "", super().visit_Getitem, node, frame)

        def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
            step = nodes.EnvironmentAttribute("step()")  # what is written for it is a call
            node.body.insert(0, nodes.ExprStmt(step))
            if node.test is not None:
                node.test = nodes.And(step, node.test)
            super().visit_For(node, frame)

        def _around(self, name: str, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame) -> None:
            if name:
                self.write(f"environment.{name}(")
            visit(node, frame)
            if name:
                self.write(")")

    def __init__(self, **settings: Any) -> None:
        super().__init__(finalize=self.written, **settings)
        self.budgets = Budgets()

    def bound(self) -> None:
        """Bound what the environment has been given: filters and tests."""
        for name in _WITHOUT:
            self.filters.pop(name, None)
        self.globals.pop("lipsum", None)
        self.filters = {name: self._filter(name, function) for name, function in self.filters.items()}
        self.tests = {name: self._test(function) for name, function in self.tests.items()}

    def step(self) -> bool:
        """A step of a loop."""
        budget = self.budgets.now
        return budget is None or budget.step()

    def made(self, value: Any) -> Any:
        """A value that was made, as it is."""
        budget = self.budgets.now
        return value if budget is None else budget.count(value)

    def compared(self, result: Any) -> Any:
        """What a comparison has come to."""
        budget = self.budgets.now
        if budget is not None:
            budget.step(_COMPARED)
        return result

    def written(self, value: Any) -> Any:
        """A value that is about to become text, as it is."""
        if type(value) is str:
            return value
        budget = self.budgets.now
        if budget is not None and isinstance(value, Containers):
            budget.step(1 + budget.weigh(value) // 2**14)
        return value

    def joined(self, values: tuple[Any, ...]) -> str:
        """Values as one text."""
        return self.concat(str(self.written(value)) for value in values)

    def concat(self, parts: Iterable[str]) -> str:
        """Parts of a text as one, counted before they are joined."""
        budget, size, held = self.budgets.now, 0, []
        if budget is None:
            return "".join(parts)
        for part in parts:
            held.append(part)
            size += len(part)
            if size > budget.most:
                budget.room(size)
        budget.step(1 + len(held) // 16)
        return str(budget.count("".join(held)))

    def to_json(self, value: Any, indent: Any, **settings: Any) -> str:
        """JSON of a value."""
        budget = self.budgets.now
        if budget is None or indent is None:
            self.written(value)
            return json.dumps(value, indent=indent, **settings)
        return self.concat(json.JSONEncoder(indent=indent, **settings).iterencode(value))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result of an operator, once it is clear that it is not too large."""
        budget = self.budgets.now
        if budget is None:
            return super().call_binop(context, operator, left, right)
        if operator == "*":
            budget.room(product(budget, left, right))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            check_bits(max(1, left.bit_length()) * abs(right))
        elif operator == "%" and isinstance(left, str):
            check_percent(budget, left, right)
        return budget.count(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether templates may have an attribute. Of Python's own values they have known methods alone."""
        if isinstance(value, BuiltinMethodType):
            kind = next((kind for kind in _METHODS if isinstance(obj, kind)), None)
            return kind is not None and attr in _METHODS[kind]
        if isinstance(obj, str) and callable(value):  # text that was escaped has methods of its own
            return attr in _METHODS[str] and super().is_safe_attribute(obj, attr, value)
        return super().is_safe_attribute(obj, attr, value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (jinja's way)
        """The result of a call."""
        budget = __self.budgets.now
        if budget is None:
            return super().call(__context, __obj, *args, **kwargs)
        budget.step()
        method = getattr(__obj, "__wrapped__", __obj)
        if isinstance(getattr(method, "__self__", None), str):
            check_method(budget, method.__self__, method.__name__, args, kwargs)
        return budget.count(super().call(__context, __obj, *args, **kwargs))

    def _filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            budget = self.budgets.now
            if budget is None:
                return function(*args, **kwargs)
            budget.step()
            if name not in _WALK:
                for each in args:
                    self.written(each)
            check = FILTERS.get(name)
            if check is not None:
                check(budget, [each for each in args if not isinstance(each, _JINJAS)], kwargs)
            result = function(*args, **kwargs)
            return result if name in _PASS_ON else budget.count(result)

        return bounded

    def _test(self, function: Any) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            return self.compared(function(*args, **kwargs))

        return bounded
