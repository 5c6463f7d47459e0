"""Subjects of models that generate: a prompt or a source, and the answer, which the model gives if nobody does."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from attendant.bundle import AudioSource
from attendant.bundle.graph_io import PACKED
from attendant.core.attention import AttentionSubject
from attendant.core.chat import ChatPrompt
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import BeamCall, Delta, GenerationCall, Prompt, TextPrompt
from attendant.frontend.explain.calls import Answered, ExplainedToken, GivenAnswer, ImageFile, SoundFile, Subject
from attendant.frontend.explain.subjects import Looked, given_text, refuse, refuse_beside
from attendant.frontend.explain.tokens import answer_texts, answer_tokens, given_tokens, prompt_tokens
from attendant.frontend.generation.inner import InnerCall
from attendant.frontend.generation.prompts import Prepared, check_ids, prepare
from attendant.frontend.speech.model import Generator
from attendant.models.generators import GeneratorPart
from attendant.settings import ExplainSettings


@dataclass(frozen=True, slots=True)
class Prompted:
    """A prompt, prepared as the model's own calls are, and the answer to it."""

    prompt: Prompt
    prepared: Prepared
    answer: Answered


class GeneratedSubjects:
    """Subjects of one model, for one call.

    Args:
        generator: answers where nobody does.
        context: of the call.
    """

    def __init__(
        self, model: GeneratorPart, generator: Generator, settings: ExplainSettings, context: CallContext
    ) -> None:
        self._model = model
        self._generator = generator
        self._settings = settings
        self._context = context

    async def look(self, subject: Subject, answer: GivenAnswer | None) -> Looked:
        """A subject that is a text, tokens or a conversation, with its answer.

        Raises:
            AttendantError: the model does not read it, or could not answer.
        """
        prompted = await self.prompted(subject, answer)
        prepared, answered = prompted.prepared, prompted.answer
        codec, ids = self._model.text, (*prepared.prompt, *answered.token_ids)
        asked = subject.given
        limit = self._settings.max_tokens
        tokens = given_tokens(codec, ids)
        sources: tuple[ExplainedToken, ...] = ()
        if prepared.source is not None:
            read = prepared.source.arrays[PACKED.input_ids.name].tolist()
            sources = (
                prompt_tokens(codec, asked, read, limit) if isinstance(asked, TextPrompt) else given_tokens(codec, read)
            )
        elif isinstance(asked, TextPrompt | ChatPrompt):
            prompt = prompt_tokens(codec, asked, prepared.prompt, limit)
            tokens = (*prompt, *tokens[len(prompt) :])
        return Looked(
            AttentionSubject({PACKED.input_ids.name: np.array(ids, np.int64)}, prepared.source),
            tokens,
            sources,
            num_prompt=len(prepared.prompt),
            answer=answered,
            causal=True,
            text=given_text(subject),
        )

    async def prompted(self, subject: Subject, answer: GivenAnswer | None) -> Prompted:
        """The prompt and the answer, without a look at where tokens stand."""
        model, given = self._model, subject.given
        reads = () if model.manifest.encoder_input is None else ("translation",)
        kinds: tuple[str, ...] = ("text", "token_ids") if reads else ("text", "token_ids", "chat")
        if isinstance(model.manifest.encoder_input, AudioSource):
            kinds, reads = ("audio",), ()
        refuse(subject, model.name, kinds)
        refuse_beside(subject, model.name, *reads)
        assert not isinstance(given, ImageFile | SoundFile), "it was refused"
        call = GenerationCall(model.name, given, translation=subject.translation)
        prepared = await prepare(model, call)
        return Prompted(given, prepared, await self._answer(call, prepared, answer or GivenAnswer()))

    async def _answer(self, call: GenerationCall, prepared: Prepared, answer: GivenAnswer) -> Answered:
        codec, limit = self._model.text, self._model.context_length - len(prepared.prompt)
        ids: tuple[int, ...]
        if answer.token_ids is not None:
            check_ids(self._model, answer.token_ids, "answer.token_ids")
            ids = answer.token_ids
        elif answer.text is not None:
            opening = tuple([tokens[0] for tokens in prepared.opening if len(tokens) == 1])
            ids = answer_tokens(codec, answer.text, limit)
            ids = (*opening, *ids) if ids else ()
        else:
            wanted = self._settings.answer_tokens if answer.max_tokens is None else answer.max_tokens
            if not wanted:
                return Answered()
            return await self._asked(call, min(wanted, limit))
        if not 1 <= len(ids) <= limit:
            raise InvalidRequest("answer", f"has {len(ids)} tokens; allowed after this prompt: 1 to {limit}")
        return Answered(codec.decode(ids), ids, answer_texts(codec, ids))

    async def _asked(self, call: GenerationCall, max_tokens: int) -> Answered:
        """What the model says, greedily."""
        asked = GenerationCall(
            call.model,
            call.prompt,
            max_tokens=max_tokens,
            temperature=0.0,
            beam_search=BeamCall(1),
            translation=call.translation,
            whole=True,
        )
        text, ids = "", list[int]()
        async with aclosing(self._generator.generate_inner(InnerCall(asked), self._context)) as parts:
            async for part in parts:
                if isinstance(part, Delta):
                    text += part.text
                    ids += part.token_ids
        return Answered(text, tuple(ids), answer_texts(self._model.text, ids))
