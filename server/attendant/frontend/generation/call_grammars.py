"""The grammar of a call's answer: of the calls that it has to have, or may have, and of what follows thoughts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attendant.core.answer_formats import HARMONY, NONE, AnswerFormats
from attendant.core.generation import GenerationCall
from attendant.frontend.answers.composing import WantedCalls, composed
from attendant.frontend.answers.layouts import LAYOUTS
from attendant.frontend.generation.apart import (
    AUTO,
    Apart,
    callable_tools,
    formats_for,
    told_apart,
)
from attendant.models.generators import GeneratorPart


def shaped(call: GenerationCall, model: GeneratorPart, prompt: Sequence[int]) -> tuple[GenerationCall, Apart | None]:
    """The call with the grammar of all of its answer, and how that is told apart.

    Args:
        call: as :func:`~attendant.frontend.generation.apart.with_usable_tools` leaves it. prompt: its tokens.

    Raises:
        InvalidRequest: as :func:`~attendant.frontend.generation.apart.formats_for`.
    """
    formats = formats_for(call, model)
    apart = told_apart(call, formats, model, prompt)
    return _with_grammar(call, formats, model, apart), apart


def _with_grammar(
    call: GenerationCall, formats: AnswerFormats, model: GeneratorPart, apart: Apart | None
) -> GenerationCall:
    """The call with a grammar for all of its answer: calls that are forced, or that have to fit a schema if they come;
    and before them, or before what its own grammar describes, the thoughts of a model that thinks."""
    calls = _wanted_calls(call, formats)
    thinks = apart is not None and apart.formats.reasoning != NONE
    if call.forced_answer is not None or (calls is None and (call.grammar is None or not thinks)):
        return call
    grammar = composed(
        formats,
        model.text.added_tokens.get,
        calls,
        call.grammar if calls is None or not calls.forced else None,
        thinks=thinks,
        thinking=apart is not None and apart.thinking,
    )
    return replace(call, grammar=grammar)


def _wanted_calls(call: GenerationCall, formats: AnswerFormats) -> WantedCalls | None:
    """The calls that a grammar has to see to; None: it need not."""
    choice, tools = call.tool_choice or AUTO, callable_tools(call)
    forced = choice.forces
    strict = frozenset(tool.name for tool in tools if tool.strict)
    if not tools or not (forced or choice.names or strict or call.grammar is not None) or formats.tools == NONE:
        return None
    several = choice.parallel and choice.mode != "named" and formats.tools != HARMONY
    by_schema = forced or LAYOUTS[formats.tools].arguments != "json"  # which arguments there are only the schema says
    schemas = {tool.name: tool.parameters if by_schema or tool.strict else {"type": "object"} for tool in tools}
    return WantedCalls(schemas, strict, forced, several)
