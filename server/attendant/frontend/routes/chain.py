"""One run through the steps of a pipeline: what each step is given, what it said, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from attendant.core.chat import ChatMessage, ChatPrompt, MediaPart
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, Prompt, TextPrompt, TokenPrompt, Translation
from attendant.core.request import StepTime
from attendant.frontend.routes.graph import Route, Target
from attendant.frontend.routes.routing import Hop, Routes
from attendant.frontend.routes.templates import TemplateWrong
from attendant.settings.routes import PipelineRoute, Step


class Chain:
    """The steps of one call on a pipeline.

    Args:
        given: the text that the call came with; empty where it came with none.

    Attributes:
        text: that the step before gave; at first what the call came with.
    """

    def __init__(self, routes: Routes, route: Route, context: CallContext, given: str = "") -> None:
        assert isinstance(route.spec, PipelineRoute), "others have no steps"
        self._routes = routes
        self._route = route
        self._context = context
        self._given = given
        self._texts: dict[str, str] = {}
        self._times: list[StepTime] = []
        self.steps: Sequence[Step] = route.spec.steps
        self.text = given

    @property
    def times(self) -> tuple[StepTime, ...]:
        """What the steps took that have ended."""
        return tuple(self._times)

    def target(self, index: int) -> Target:
        """The model of a step."""
        return self._route.targets[index]

    def begin_with(self, text: str) -> None:
        """Have the text that sound has become: the input of what follows."""
        self._given = self.text = text

    @contextmanager
    def step(self, index: int) -> Iterator[CallContext]:
        """Around a step: counts it and takes its time. Gives the context of what is done for it.

        Raises:
            InvalidRequest: what its model did not take, in words of the pipeline, unless it is what the call came with.
        """
        name, target = self.steps[index].name, self.target(index)
        began_ns = time.monotonic_ns()
        with self._routes.counted([Hop(self._route, target)]), self._context.stage.begin(f"step {name}") as stage:
            try:
                yield replace(self._context.within(stage), arrival_ns=began_ns)
            except InvalidRequest as error:
                if index == 0:
                    raise
                raise self._refused(index, f"did not take what it was given: {error}") from error
            finally:
                took_ns = time.monotonic_ns() - began_ns
                self._times.append(StepTime(name, target.model, began_ns - self._context.arrival_ns, took_ns))

    def said(self, index: int, text: str) -> None:
        """Take down what a step gave."""
        self._texts[self.steps[index].name] = self.text = text

    def prompt(self, index: int) -> str:
        """The text that a step is given. Raises InvalidRequest."""
        template = self._route.templates[index]
        if template is None:
            return self.text
        try:
            return template.render(self.text, self._given, self._texts)
        except TemplateWrong as error:
            raise self._refused(index, f"has a template that {error}") from None

    def generation(self, index: int, prompt: Prompt) -> GenerationCall:
        """The call of a step that generates, as the file has it."""
        step = self.steps[index]
        return GenerationCall(
            self.target(index).model,
            prompt,
            max_tokens=step.max_tokens,
            temperature=step.temperature,
            seed=step.seed,
            stop=step.stop,
            translation=_translation(step),
            whole=True,
        )

    def last(self, call: GenerationCall, prompt: Prompt) -> GenerationCall:
        """The call of the last step: as the caller has it, and where that says nothing, as the file does."""
        step = self.steps[-1]
        return replace(
            call,
            model=self.target(len(self.steps) - 1).model,
            prompt=prompt,
            max_tokens=step.max_tokens if call.max_tokens is None else call.max_tokens,
            temperature=step.temperature if call.temperature is None else call.temperature,
            seed=step.seed if call.seed is None else call.seed,
            stop=call.stop or step.stop,
            translation=_translation(step),
        )

    def text_prompt(self, index: int) -> TextPrompt | ChatPrompt:
        """What a step that generates is given: a text, or a conversation."""
        return _spoken(self.steps[index], self.prompt(index))

    def first_prompt(self, prompt: Prompt) -> Prompt:
        """What the first step is given: what the call came with, as it is unless the file says more.

        Raises:
            InvalidRequest: the file says more, and that is for a text.
        """
        step = self.steps[0]
        reads = step.do == "translate" and isinstance(prompt, ChatPrompt)  # a text, and no conversation
        if step.do in ("translate", "generate") and self._route.templates[0] is None and not (step.chat or reads):
            return prompt
        if self._route.templates[0] is None and isinstance(prompt, ChatPrompt) and step.chat and not step.system:
            return prompt
        whole = isinstance(prompt, TextPrompt) or (isinstance(prompt, ChatPrompt) and len(prompt.messages) == 1)
        if not whole:
            field = "chat" if isinstance(prompt, ChatPrompt) else "token_ids"
            said = f"cannot be put into the prompt of step {step.name!r} of {self._route.name!r}"
            raise InvalidRequest(field, f"{said}; allowed: text, or a chat of one message")
        if isinstance(prompt, ChatPrompt):
            self._check_plain(prompt)
        return _spoken(step, self.prompt(0))

    def _check_plain(self, chat: ChatPrompt) -> None:
        """Raises InvalidRequest if a conversation has more than a text: only its text is put into a prompt."""
        asked = {
            "template": chat.template,
            "tools": chat.tools,
            "documents": chat.documents,
            "template_variables": chat.variables,
            "given_template": chat.given_template,
            "reasoning_effort": chat.effort,
            "continue_final_message": chat.continues,
            "no_generation_prompt": not chat.adds_generation_prompt,
        }
        (message,) = chat.messages
        asked |= {"messages[0].reasoning": message.reasoning, "messages[0].tool_calls": message.tool_calls}
        content = message.content
        for place, part in enumerate(content if isinstance(content, tuple) else ()):
            asked[f"messages[0].content[{place}]"] = isinstance(part, MediaPart)
        for field, given in asked.items():
            if given:
                step = f"step {self.steps[0].name!r} of {self._route.name!r}"
                raise InvalidRequest(field, f"cannot be put into the prompt of {step}; allowed: the text of a message")

    def _refused(self, index: int, why: str) -> InvalidRequest:
        return InvalidRequest("model", f"is {self._route.name!r}, whose step {self.steps[index].name!r} {why}")


def text_of(prompt: Prompt) -> str:
    """The text of a prompt: of a conversation its last message; of tokens none."""
    match prompt:
        case TextPrompt(text=text):
            return text
        case ChatPrompt(messages=messages):
            return messages[-1].text if messages else ""
    return ""


def check_call(route: Route, call: GenerationCall) -> None:
    """Raises InvalidRequest for what a pipeline decides by itself."""
    if call.translation is not None and (call.translation.source_language or call.translation.target_language):
        raise InvalidRequest("translation", f"is given; allowed with {route.name!r}, whose steps name languages: none")
    reads = route.templates[1:]
    if len(reads) and isinstance(call.prompt, ChatPrompt) and call.prompt.tools:
        raise InvalidRequest("tools", f"are given; allowed with {route.name!r}, whose steps hand on texts: none")
    if isinstance(call.prompt, TokenPrompt) and any(each is not None and "input" in each.names for each in reads):
        raise InvalidRequest("token_ids", f"are given; allowed with {route.name!r}, which reads the text: text, chat")


def _spoken(step: Step, text: str) -> TextPrompt | ChatPrompt:
    if not step.chat:
        return TextPrompt(text)
    system = (ChatMessage("system", step.system),) if step.system else ()
    return ChatPrompt((*system, ChatMessage("user", text)))


def _translation(step: Step) -> Translation | None:
    return Translation(step.source_language, step.target_language) if step.do == "translate" else None
