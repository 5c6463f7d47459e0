"""`python -m tests.templates.cost`: what it costs to count what a template does, for each published one.

Times of a rendering in microseconds, the best of many: of the server's, and of jinja's own sandbox with the same words.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attendant.bundle import ChatTemplate, TemplateRefused
from attendant.bundle.sandbox import template_environment
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.templates import PUBLISHED, Published

ROUNDS, TIMES = 9, 40
TOOL = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "Finds an order by what is known of it.",
        "parameters": {
            "type": "object",
            "properties": {name: {"type": "string", "description": "A part of the order."} for name in "abcdef"},
            "required": ["a"],
        },
    },
}


def messages(count: int) -> list[dict[str, str]]:
    """A conversation of so many messages, the user's first and last."""
    said = (("user", "Where is my order? " * 10), ("assistant", "It is on its way. " * 10))
    return [{"role": role, "content": content} for role, content in said * (count // 2 + 1)][:count]


def best_us(work: Callable[[], Any]) -> float:
    """The shortest time of a piece of work."""
    found = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(TIMES):
            work()
        found.append((time.perf_counter() - begin) / TIMES * 1e6)
    return min(found)


def plain(published: Published) -> Callable[..., str]:
    """The template in jinja's own sandbox."""
    bounded = template_environment()
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[type(each) for each in bounded.extensions.values()]
    )
    environment.globals.update(bounded.globals)
    environment.filters["tojson"] = bounded.filters["tojson"]
    return environment.from_string(published.source).render


def main() -> None:
    """Prints a line for each template and length of a conversation."""
    for count in (1, 39):
        added = []
        for name, published in PUBLISHED.items():
            words = {"bos_token": published.bos, "eos_token": published.eos}
            turns, tools = messages(count), [TOOL] * 3 if published.tools else None
            seen = {**words, "messages": turns, "tools": tools, "documents": None, "add_generation_prompt": True}
            template, other = ChatTemplate(published.source, words), plain(published)
            try:
                assert template.render(turns, tools=tools) == other(seen)
            except TemplateRefused:
                continue
            counted, uncounted = best_us(lambda: template.render(turns, tools=tools)), best_us(lambda: other(seen))  # noqa: B023
            added.append(counted - uncounted)
            print(f"{name:18} {count:3} messages  {uncounted:6.0f} us  counted {counted:6.0f} us")
        added.sort()
        print(f"{count} messages: {added[0]:.0f} to {added[-1]:.0f} us more, median {added[len(added) // 2]:.0f}")


if __name__ == "__main__":
    main()
