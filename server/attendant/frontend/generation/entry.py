"""What is done for a call before it has its places: it is tokenised, shaped and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attendant.core.beams import BeamParams
from attendant.core.context import CallContext
from attendant.core.generation import GenerationCall
from attendant.core.request import Request
from attendant.core.sampling import SamplingParams
from attendant.core.stages import Stage
from attendant.core.token_rules import TokenRule
from attendant.frontend.generation.apart import Apart, with_usable_tools
from attendant.frontend.generation.bad_phrases import with_bad_words
from attendant.frontend.generation.call_grammars import shaped
from attendant.frontend.generation.call_settings import call_settings
from attendant.frontend.generation.forced_answer import forced
from attendant.frontend.generation.given_templates import GivenTemplates
from attendant.frontend.generation.grammars import Grammars, ruled
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.params import beam_params, for_sequence, sampling_params
from attendant.frontend.generation.prompts import Prepared, prepare
from attendant.frontend.generation.resumed import check_resumed
from attendant.frontend.limits import CallLimits
from attendant.grammars.compiled import CompiledGrammar


@dataclass(frozen=True, slots=True)
class Shaped:
    """A call whose words are tokens, and whose answer's shape is known."""

    call: GenerationCall
    prepared: Prepared
    apart: Apart | None
    grammar: CompiledGrammar | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A call as engines get it. ``stop``: the strings that end a sequence."""

    call: GenerationCall
    prepared: Prepared
    params: SamplingParams
    rules: tuple[TokenRule, ...]
    beams: BeamParams | None
    stop: tuple[str, ...]
    apart: Apart | None

    def request(self, ids: Sequence[str], index: int, context: CallContext, *, ends_hopeless: bool) -> Request:
        """What an engine gets of sequence ``index``; ``ids`` has the names of all, ``context`` is the call's."""
        resume = self.call.resume
        return Request(
            ids[index],
            self.prepared.prompt,
            for_sequence(self.params, index + (resume.index if resume is not None else 0)),
            context.arrival_ns,
            context.deadline_ns,
            self.prepared.source,
            self.beams,
            tuple(ids) if self.beams is not None else (),
            cache_salt=context.cache_salt,
            rules=self.rules,
            priority=context.priority,
            tenant=context.tenant,
            first_token_by_ns=context.first_token_by_ns,
            sure_tokens=self._sure_tokens(),
            ends_hopeless=ends_hopeless,
            noted=context.stage.noted,
            received=resume.token_ids if resume is not None else (),
        )

    def _sure_tokens(self) -> int:
        params = self.params
        may_end = self.stop or self.rules or params.stop_token_ids or not params.ignore_eos
        if may_end or self.beams is not None or (self.apart is not None and self.apart.single):
            return max(params.min_tokens, 1)
        return params.max_tokens


async def shape(
    asked: InnerCall, hub: ModelHub, grammars: Grammars, given: GivenTemplates, stage: Stage, *, inner: bool
) -> Shaped:
    """Tokenise what a call sends, and find out what its answer has to be like. Raises InvalidRequest."""
    call = with_usable_tools(asked.call)
    with stage.begin("tokenise") as tokenising:
        prepared = await prepare(hub.model, call, given)
        tokenising.note(num_tokens=len(prepared.prompt))
    if inner:
        prepared = replace(prepared, opening=asked.opening or prepared.opening)
    call, prepared = forced(call, hub.model, prepared)
    call, apart = shaped(call, hub.model, prepared.prompt)
    call = await with_bad_words(call, hub.model)
    return Shaped(call, prepared, apart, await grammars.compiled(call, hub.model))


def decide(asked: InnerCall, ready: Shaped, hub: ModelHub, limits: CallLimits, *, inner: bool) -> Entry:
    """Find out how tokens are chosen. Raises InvalidRequest."""
    call, prepared = ready.call, ready.prepared
    settings = call_settings(call, hub.model.manifest)
    params = sampling_params(call, settings, hub.model, prepared)
    limits.check_answer(call, min(params.max_tokens, hub.model.context_length - len(prepared.prompt)))
    if inner:
        params = replace(params, timestamps=asked.timestamps, asked_logprobs=asked.asked_logprobs)
    params, rules = ruled(ready.grammar, call, hub.model, params)
    beams = beam_params(call, settings, hub.facts, params, prepared)
    check_resumed(call, hub.model, params, beams, num_prompt=len(prepared.prompt))
    return Entry(call, prepared, params, rules, beams, settings.stop_strings, ready.apart)
