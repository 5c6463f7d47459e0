"""The chat templates of a folder, each rendered over conversations by the server's code and by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attendant.bundle import DEFAULT_TEMPLATE, ChatTemplate, TemplateRefused

from attendant_export.errors import TemplateError

_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
_FIRST = {"role": "user", "content": 'Say "hi" to <Zoë> & co.\n\n  It\'s {{ urgent }}!'}
_ANSWER = {"role": "assistant", "content": " Hi, Zoë \U0001f44b "}
_SECOND = {"role": "user", "content": "再见"}
CONVERSATIONS = (
    (_FIRST,),
    (_FIRST, _ANSWER, _SECOND),
    (_SYSTEM, _FIRST),
    (_SYSTEM, _FIRST, _ANSWER, _SECOND),
    (_FIRST, _ANSWER),
    ({"role": "user", "content": ""},),
)


def checked_templates(tokenizer: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """The chat templates of transformers' ``tokenizer`` by name, and what is to be said of them.

    Raises:
        TemplateError: one gives another text here than in transformers.
    """
    found = tokenizer.chat_template
    sources = found if isinstance(found, Mapping) else {} if not found else {DEFAULT_TEMPLATE: found}
    kept: dict[str, str] = {}
    warnings: list[str] = []
    for name, source in sources.items():
        which = "the chat template" if name == DEFAULT_TEMPLATE else f"the chat template {name!r}"
        try:
            template = ChatTemplate(source, tokenizer.special_tokens_map)
        except TemplateRefused as error:
            if (reason := _refusal(tokenizer, source)) is None:
                raise TemplateError(
                    f"{which} does not compile here, though it does in transformers: {error}"
                ) from error
            warnings.append(f"{which} does not compile and is left out: {reason}")
            continue
        kept[str(name)] = source
        warnings += _compared(which, template, tokenizer, source)
    return kept, tuple(warnings)


def _compared(which: str, template: ChatTemplate, tokenizer: Any, source: str) -> Iterator[str]:
    """Renders the conversations with both; says so where none can be rendered."""
    refusals = []
    for messages in CONVERSATIONS:
        for attempt in (1, 2):  # a template may tell the time, which passes
            wanted, why = _by_transformers(tokenizer, source, messages)
            got, why_not = _here(template, messages)
            if wanted == got:
                break
            if attempt == 2:
                raise TemplateError(
                    f"{which} gives another text here than in transformers for {[dict(each) for each in messages]}: "
                    f"{why_not if got is None else got!r}, in transformers {why if wanted is None else wanted!r}"
                )
        if got is None:
            refusals.append(why_not)
    if len(refusals) == len(CONVERSATIONS):
        yield f"{which} refuses every conversation that it was tried with: {refusals[0]}"


def _here(template: ChatTemplate, messages: tuple[Mapping[str, str], ...]) -> tuple[str | None, str]:
    try:
        return template.render(messages), ""
    except TemplateRefused as error:
        return None, str(error)


def _by_transformers(tokenizer: Any, source: str, messages: tuple[Mapping[str, str], ...]) -> tuple[str | None, str]:
    try:
        rendered = tokenizer.apply_chat_template(
            [dict(each) for each in messages], chat_template=source, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # noqa: BLE001 - a template may raise whatever Python raises
        return None, str(error) or type(error).__name__
    return str(rendered), ""


def _refusal(tokenizer: Any, source: str) -> str | None:
    """Why transformers does not render the first conversation; None if it does."""
    rendered, why = _by_transformers(tokenizer, source, CONVERSATIONS[0])
    return None if rendered is not None else why
