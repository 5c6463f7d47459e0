"""The grammars that calls ask for: compiled in threads of their own, each once for a model, and kept for the next."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.grammar import Grammar
from attendant.core.sampling import SamplingParams
from attendant.core.token_rules import TokenRule
from attendant.grammars.compiled import STACK_BYTES, CompiledGrammar, GrammarLimits
from attendant.grammars.notation import check_size
from attendant.grammars.rule import GrammarRule
from attendant.grammars.words import GrammarWords
from attendant.metrics.grammars import GrammarMetrics
from attendant.models.generators import GeneratorPart
from attendant.models.text import TextCodec
from attendant.settings import GrammarSettings
from attendant.tasks.job_threads import JobThreads

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_COMPILING = 2
"""Grammars that are compiled at once, of all models: that takes a processor each."""


class Grammars:
    """The grammars of a server's models. Everything here runs on the event loop's thread but what is compiled."""

    def __init__(self, settings: GrammarSettings, metrics: GrammarMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._limits = GrammarLimits(settings.max_bytes, settings.max_mask_s)
        self._threads = JobThreads(MAX_COMPILING, "grammar", STACK_BYTES)
        self._models: WeakKeyDictionary[TextCodec, _OfModel] = WeakKeyDictionary()

    async def compiled(self, call: GenerationCall, model: GeneratorPart) -> CompiledGrammar | None:
        """The call's grammar; None if it has none.

        Raises:
            InvalidRequest: it cannot be used, and why.
        """
        if call.grammar is None:
            return None
        try:
            check_size(call.grammar, self._limits.max_bytes)
            found = await self._find(call.grammar, model)
        except InvalidRequest:
            self._metrics.asked(model.name, "refused")
            raise
        return found

    def close(self) -> None:
        """Compile nothing more."""
        self._threads.close()

    async def _find(self, grammar: Grammar, model: GeneratorPart) -> CompiledGrammar:
        of_model = self._models.get(model.text)
        if of_model is None:
            # what is kept must not know the codec, or it is kept for good when its model has left
            words_of = partial(_words, model.text.tokenizer, model.manifest.vocab_size)
            of_model = self._models[model.text] = _OfModel(_Job(words_of))
        kept = of_model.kept(grammar)
        if isinstance(kept, InvalidRequest):
            raise kept.renamed(kept.field)  # another one: an error collects where it was raised
        if kept is not None:
            self._metrics.asked(model.name, "cached")
            return kept
        words = await of_model.words.result(self._threads)
        job = of_model.jobs.get(grammar)
        if job is None:
            work = partial(CompiledGrammar, grammar, words, self._limits)
            job = of_model.jobs[grammar] = _Job(work, partial(self._ended, model.name, of_model, grammar))
        limit_s = self._settings.max_compile_s
        try:
            found = await job.result(self._threads, limit_s)
        except TimeoutError:
            reason = f"is too complex: to compile it takes more than {limit_s:g} s"
            raise InvalidRequest(grammar.field, reason) from None
        except InvalidRequest as error:
            raise error.renamed(error.field) from None
        self._metrics.asked(model.name, "compiled")
        return found

    def _ended(self, name: str, of_model: _OfModel, grammar: Grammar, job: _Job[CompiledGrammar]) -> None:
        """A grammar has been compiled, or refused, whoever still waits for that; or given up."""
        of_model.jobs.pop(grammar, None)
        found = job.outcome
        if found is not None:
            of_model.keep(grammar, found, self._settings.cache_size)
            self._metrics.compiled(name, job.took_s)


class _Job(Generic[T]):
    """Work in a thread that several calls wait for. It begins when the first does, and is given up when none does any
    more, unless it runs by then: then it runs to its end, which may come late.

    Args:
        on_end: told when it has ended, or was given up.
    """

    def __init__(self, work: Callable[[], T], on_end: Callable[[_Job[T]], None] | None = None) -> None:
        self._work = work
        self._on_end = on_end
        self._began_ns = 0
        self._future: asyncio.Future[T] | None = None
        self._num_waiting = 0
        self.took_s = 0.0

    @property
    def outcome(self) -> T | InvalidRequest | None:
        """What has come of it; None: nothing yet."""
        future = self._future
        if future is None or future.cancelled() or not future.done():
            return None
        error = future.exception()
        if error is None:
            return future.result()
        assert isinstance(error, InvalidRequest), "whatever goes wrong becomes one"
        return error.renamed(error.field)  # without its traceback, which has hold of all that was compiled

    async def result(self, threads: JobThreads, limit_s: float | None = None) -> T:
        """What comes of it. Raises TimeoutError if it has run for longer; waiting for a thread does not count."""
        if self._future is None:
            self._future = asyncio.wrap_future(threads.submit(self._run))
            self._future.add_done_callback(self._told)
        future = self._future
        self._num_waiting += 1
        try:
            while not future.done():
                if limit_s is not None and self._runs_for_s() >= limit_s:
                    raise TimeoutError
                await asyncio.wait([future], timeout=limit_s)
            return future.result()
        finally:
            self._num_waiting -= 1
            if not self._num_waiting and not self._began_ns:
                future.cancel()
                self._future = None

    def _told(self, future: asyncio.Future[T]) -> None:
        if self._on_end is not None:
            self._on_end(self)

    def _run(self) -> T:
        self._began_ns = time.monotonic_ns()
        try:
            return self._work()
        except InvalidRequest:
            raise
        except BaseException as error:  # a panic of the library is no Exception
            logger.exception("a grammar could not be compiled")
            raise InvalidRequest("grammar", f"cannot be used: {type(error).__name__}: {error}") from error
        finally:
            self.took_s = self._runs_for_s()

    def _runs_for_s(self) -> float:
        return (time.monotonic_ns() - self._began_ns) / 1e9 if self._began_ns else 0.0


class _OfModel:
    """What is known of one model's grammars, refusals included; the latest that were asked for are kept."""

    def __init__(self, words: _Job[GrammarWords]) -> None:
        self.words = words
        self.jobs: dict[Grammar, _Job[CompiledGrammar]] = {}
        self._kept: OrderedDict[Grammar, CompiledGrammar | InvalidRequest] = OrderedDict()

    def kept(self, grammar: Grammar) -> CompiledGrammar | InvalidRequest | None:
        """What came of the grammar before, if that is still known."""
        found = self._kept.get(grammar)
        if found is not None:
            self._kept.move_to_end(grammar)
        return found

    def keep(self, grammar: Grammar, found: CompiledGrammar | InvalidRequest, size: int) -> None:
        """Remember what came of it; no more than ``size``."""
        self._kept[grammar] = found
        while len(self._kept) > size:
            self._kept.popitem(last=False)


def ruled(
    compiled: CompiledGrammar | None, call: GenerationCall, model: GeneratorPart, params: SamplingParams
) -> tuple[SamplingParams, tuple[TokenRule, ...]]:
    """The parameters and the rules of a sequence whose answer is a text of the grammar, if there is one. No token is
    forced where ``max_tokens`` cuts it: an end there would make it look whole.

    Raises:
        InvalidRequest: the call itself names such a token.
    """
    if compiled is None:
        return params, ()
    if call.forced_last:
        raise InvalidRequest("forced_last", f"is {call.forced_last[0]}; allowed with a grammar: none")
    eos = () if params.ignore_eos else model.manifest.special_tokens.eos
    rule = GrammarRule(compiled, (*eos, *params.stop_token_ids), len(params.opening))
    return replace(params, forced_last=None), (rule,)


def _words(tokenizer: Tokenizer, vocab_size: int) -> GrammarWords:
    return GrammarWords(tokenizer.to_str(), vocab_size)
