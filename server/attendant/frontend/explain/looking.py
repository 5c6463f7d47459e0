"""What calls that explain are made of: a subject as its model sees it, and what the model's thread computes of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from attendant.core.attention import AttentionJob, AttentionSubject, AttentionView, JobResult
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.explain import encoding, hearing
from attendant.frontend.explain.calls import GivenAnswer, Subject
from attendant.frontend.explain.generating import GeneratedSubjects
from attendant.frontend.explain.limits import check_subject
from attendant.frontend.explain.subjects import Explains, Looked, name_of, place_of
from attendant.frontend.limits import CallLimits
from attendant.frontend.speech.model import Generator
from attendant.settings import ExplainSettings
from attendant.tasks.job_threads import JobThreads

NO_ANSWER = GivenAnswer(max_tokens=0)


class Looking:
    """Looks at subjects of any model.

    Args:
        generators: give what answers, on a model, where nobody does.
        media: decode files.
    """

    def __init__(
        self,
        generators: Callable[[Explains], Generator],
        settings: ExplainSettings,
        media: JobThreads,
        limits: CallLimits,
    ) -> None:
        self._generators = generators
        self._settings = settings
        self._media = media
        self._limits = limits
        self._ids = itertools.count()

    async def look(
        self, model: Explains, subject: Subject, answer: GivenAnswer | None, context: CallContext, field: str = ""
    ) -> Looked:
        """The subject as the model sees it, with its answer.

        Args:
            field: names a text, which has no answer, in errors.

        Raises:
            AttendantError: the model does not read it, or could not answer.
        """
        try:
            check_subject(self._limits, subject, answer)
            with context.stage.begin("look") as stage:
                looked = await self._look(model, subject, answer, context.within(stage), alone=bool(field))
                stage.note(num_tokens=len(looked.tokens))
                return looked
        except InvalidRequest as error:
            if field and error.field == name_of(subject):
                raise InvalidRequest(field, error.reason) from None
            raise

    async def _look(
        self, model: Explains, subject: Subject, answer: GivenAnswer | None, context: CallContext, *, alone: bool
    ) -> Looked:
        """``alone``: without an answer."""
        if model.speech is not None and model.generation is not None:
            part = model.generation.model
            runs = self._generators(model)
            listens = hearing.Listens(model.speech.model, part, runs, self._media, self._settings, context)
            return await hearing.look(listens, subject, answer)
        if model.generation is not None:
            subjects = GeneratedSubjects(model.generation.model, self._generators(model), self._settings, context)
            return await subjects.look(subject, NO_ANSWER if alone else answer)
        most = self._limits.max_image_pixels
        return await encoding.look(next(iter(model.encoders.values())), subject, answer, self._media, most)

    async def compute(
        self,
        model: Explains,
        subject: AttentionSubject,
        context: CallContext,
        *,
        view: AttentionView | None = None,
        keeps_hidden: bool = False,
    ) -> JobResult:
        """Have the model's thread compute a subject's attention, or its hidden states.

        Raises:
            QueueFull, Draining, EngineDead, DeadlineExceeded, StepFailed: it was not.
        """
        jobs, _ = place_of(model)
        job = AttentionJob(
            f"{context.request_id}#{next(self._ids)}",
            subject,
            view,
            context.arrival_ns,
            context.deadline_ns,
            self._settings.share,
            keeps_hidden,
        )
        with context.stage.begin("compute") as stage:
            result = await jobs.run(job)
            stage.add("queue", stage.begin_ns, result.started_ns)
            stage.add("run", result.started_ns, time.monotonic_ns(), busy_s=result.run_ns / 1e9)
        return result
