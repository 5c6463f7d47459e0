"""Pipelines: what one model says goes into the next one's prompt, and the last one's answer is the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import wave
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from attendant.core.chat import ChatMessage, ChatPrompt, MediaPart, TextPart, Tool, ToolCall
from attendant.core.context import CallContext
from attendant.core.errors import DeadlineExceeded, Draining, InvalidRequest
from attendant.core.events import TokenLogprob
from attendant.core.generation import Delta, Finish, GenerationCall, GenerationPart, TextPrompt, TokenPrompt
from attendant.core.generation import Translation as Languages
from attendant.demo import demo_bundles
from attendant.frontend.encoding.calls import Audio, ClassifyCall, EmbedCall, TextItem, TranscribeCall
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from prometheus_client import CollectorRegistry

from tests.frontend.encoding.helpers import items
from tests.frontend.generation.helpers import wait_until
from tests.frontend.routes.helpers import ask, counted, said, with_routes
from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_audio_encoder, make_text_encoder

DEMO = """
routes:
  answered:
    kind: pipeline
    steps:
      - {name: english, do: translate, model: translator}
      - name: answer
        do: generate
        model: demo
        chat: true
        system: Be kind.
        prompt: "{{ input }}: {{ text }}"
        max_tokens: 12
  tone:
    kind: pipeline
    steps:
      - {name: answer, do: generate, model: demo, chat: true, max_tokens: 12}
      - {name: judge, do: classify, model: sentiment}
  told:
    kind: pipeline
    steps:
      - {name: mood, do: classify, model: sentiment}
      - {name: say, do: generate, model: demo, prompt: "{{ steps.mood }}, {{ input }}", max_tokens: 5}
"""
SYNTHETIC = """
routes:
  twice:
    kind: pipeline
    steps:
      - {name: first, do: generate, model: one, max_tokens: 5}
      - {name: second, do: generate, model: two, prompt: "{{ text }}!", max_tokens: 7, stop: [never]}
  long:
    kind: pipeline
    steps:
      - {name: first, do: generate, model: lasting, max_tokens: 4000}
      - {name: second, do: generate, model: two, max_tokens: 5, prompt: "{{ text | length }}"}
  deep:
    kind: pipeline
    steps:
      - {name: inner, do: generate, model: twice}
      - {name: last, do: generate, model: two, max_tokens: 3}
  once: {kind: pipeline, steps: [{name: only, do: generate, model: one, prompt: "<{{ text }}>"}]}
  vectors:
    kind: pipeline
    steps:
      - {name: say, do: generate, model: one, max_tokens: 4}
      - {name: see, do: embed, model: space}
  heard:
    kind: pipeline
    steps:
      - {name: hear, do: transcribe, model: ears}
      - {name: say, do: generate, model: one, prompt: "{{ text }} {{ input }}", max_tokens: 4}
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        make_synthetic_bundle(folder / "one", name="one", seed=1, eos_bias=-50),
        make_synthetic_bundle(folder / "lasting", name="lasting", seed=3, eos_bias=-1e4, context_length=8192),
        make_synthetic_bundle(folder / "two", name="two", seed=2, eos_bias=-50),
        make_text_encoder(folder / "space", "embed"),
        make_audio_encoder(folder / "ears"),
    ]


def test_what_one_says_is_put_to_the_next() -> None:
    """The demo models: an answer, a classification, and a label in a prompt are what the same calls by hand give."""
    german = TextPrompt("Wo ist mein Paket?")

    async def test(front_end: FrontEnd) -> None:
        english, _ = await said(front_end, GenerationCall("translator", german, translation=Languages()))
        messages = (ChatMessage("system", "Be kind."), ChatMessage("user", f"{german.text}: {english.strip()}"))
        alone, plain = await said(front_end, GenerationCall("demo", ChatPrompt(messages), max_tokens=12, receipt=True))
        text, end = await said(front_end, GenerationCall("answered", german, receipt=True))
        assert text == alone
        assert end.receipt == plain.receipt, "it is the last step's"
        assert end.usage.completion_tokens == plain.usage.completion_tokens
        first, second = end.timings.steps
        assert [(step.name, step.model) for step in (first, second)] == [("english", "translator"), ("answer", "demo")]
        assert first.began_ns + first.took_ns <= second.began_ns
        assert second.began_ns + second.took_ns <= end.timings.total_ns + second.took_ns
        assert end.timings.queue_ns >= second.began_ns
        assert end.timings.first_token_ns >= end.timings.queue_ns

        chat = ChatPrompt((ChatMessage("user", german.text),))
        assert (await said(front_end, GenerationCall("answered", chat)))[0] == text
        shorter, _ = await said(front_end, GenerationCall("answered", german, max_tokens=3))
        assert text.startswith(shorter)

        spoken, _ = await said(front_end, GenerationCall("demo", chat, max_tokens=12))
        judged = await front_end.encoding.classify(ClassifyCall("sentiment", (TextItem(spoken.strip()),)))
        found = await front_end.encoding.classify(ClassifyCall("tone", (TextItem(german.text),)))
        assert found.results == judged.results
        assert [step.name for step in found.usage.steps] == ["answer", "judge"]

        (labels,) = (await front_end.encoding.classify(ClassifyCall("sentiment", (TextItem("I hate it."),)))).results
        by_hand, _ = await said(front_end, ask("demo", f"{labels[0].label}, I hate it.", 5))
        assert (await said(front_end, ask("told", "I hate it.", None)))[0] == by_hand

    with_routes(demo_bundles(), DEMO, test)


def whole(parts: Sequence[GenerationPart], index: int) -> tuple[str, list[int], list[TokenLogprob]]:
    """What the pieces of a sequence are together."""
    deltas = [part for part in parts if isinstance(part, Delta) and part.index == index]
    return (
        "".join(delta.text for delta in deltas),
        [token for delta in deltas for token in delta.token_ids],
        [entry for delta in deltas for entry in delta.logprobs],
    )


def test_the_last_step_is_as_the_caller_has_it(bundles: list[Path]) -> None:
    """Streamed, several sequences, log-probabilities, of tokens; a pipeline in a pipeline; one of one step."""
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        between, _ = await said(front_end, ask("one", "hi", 5))
        alone = ask("two", between.strip() + "!", 7, n=2, temperature=1.0, seed=3, logprobs=1)
        plain = [part async for part in front_end.generation.generate(alone)]
        asked = ask("twice", "hi", None, n=2, temperature=1.0, seed=3, logprobs=1)
        parts = [part async for part in front_end.generation.generate(asked)]
        for index in (0, 1):
            assert whole(parts, index) == whole(plain, index)
        assert all(part.timings.steps for part in parts if isinstance(part, Finish))
        tokens = await front_end.generation.tokenize("one", TextPrompt("hi"))
        by_ids = GenerationCall("twice", TokenPrompt(tokens.token_ids))
        assert (await said(front_end, by_ids))[0] == (await said(front_end, ask("twice", "hi", None)))[0]
        inner, _ = await said(front_end, ask("twice", "hi", None))
        last, _ = await said(front_end, ask("two", inner.strip(), 3))
        deep, end = await said(front_end, ask("deep", "hi", None))
        assert (deep, [step.model for step in end.timings.steps]) == (last, ["twice", "two"])
        assert (await said(front_end, ask("once", "hi")))[0] == (await said(front_end, ask("one", "<hi>")))[0]

    with_routes(bundles, SYNTHETIC, test, metrics)
    found = counted(metrics, "route_requests_total")
    assert found["success", "deep", "inner"] == found["success", "deep", "last"] == 1
    assert found["success", "twice", "first"] == found["success", "twice", "second"] == 5


def test_several_inputs_go_through_side_by_side(bundles: list[Path]) -> None:
    texts = [f"text {i}" for i in range(12)]

    async def test(front_end: FrontEnd) -> None:
        between = [(await said(front_end, ask("one", text, 4)))[0].strip() for text in texts]
        expected = await front_end.encoding.embed(EmbedCall("space", items(*between)))
        found = await front_end.encoding.embed(EmbedCall("vectors", items(*texts)))
        assert [each.values.tolist() for each in found.results] == [each.values.tolist() for each in expected.results]
        assert [step.name for step in found.usage.steps] == ["say", "see"]
        with pytest.raises(InvalidRequest, match=r"inputs\[1\].token_ids cannot go through the pipeline 'vectors'"):
            await front_end.encoding.embed(EmbedCall("vectors", (TextItem("a"), TextItem(token_ids=(1,)))))
        with pytest.raises(InvalidRequest, match="inputs is empty"):
            await front_end.encoding.embed(EmbedCall("vectors", ()))

    with_routes(bundles, SYNTHETIC, test)


def test_what_is_heard_is_spoken_of(bundles: list[Path]) -> None:
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((np.sin(np.arange(3000) / 9) * 9000).astype("<i2").tobytes())
    sound = Audio(file.getvalue(), is_wav=True)

    async def test(front_end: FrontEnd) -> None:
        (heard,) = (await front_end.encoding.transcribe(TranscribeCall("ears", (sound,)))).results
        found = await front_end.encoding.transcribe(TranscribeCall("heard", (sound,)))
        assert [step.name for step in found.usage.steps] == ["hear", "say"] if heard.text.strip() else ["hear"]
        spoken = (await said(front_end, ask("one", f"{heard.text} {heard.text}", 4)))[0] if heard.text.strip() else ""
        assert (found.results[0].text, found.results[0].words) == (spoken.strip(), ())

    with_routes(bundles, SYNTHETIC, test)


def test_what_cannot_go_through_is_refused(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        turns = ChatPrompt((ChatMessage("user", "a"), ChatMessage("assistant", "b")))
        with pytest.raises(InvalidRequest, match="chat cannot be put into the prompt of step 'only' of 'once'"):
            await said(front_end, GenerationCall("once", turns))
        with pytest.raises(InvalidRequest, match="token_ids cannot be put into the prompt"):
            await said(front_end, GenerationCall("once", TokenPrompt((1,))))
        with pytest.raises(InvalidRequest, match="translation is given; allowed with 'twice'"):
            await said(front_end, ask("twice", translation=Languages("de", "en")))
        with pytest.raises(InvalidRequest, match="text has 400 tokens; allowed"):
            await said(front_end, ask("twice", "x" * 400))
        tool = Tool("find", {"type": "function", "function": {"name": "find"}})
        one, called = (ChatMessage("user", "a"),), ToolCall("find", "{}")
        for field, chat in (
            ("tools", ChatPrompt(one, tools=(tool,))),
            ("documents", ChatPrompt(one, documents=({"text": "x"},))),
            ("template_variables", ChatPrompt(one, variables={"mood": 1})),
            ("continue_final_message", ChatPrompt(one, continues=True)),
            ("reasoning_effort", ChatPrompt(one, effort="low")),
            (r"messages\[0\].reasoning", ChatPrompt((ChatMessage("assistant", "a", reasoning="b"),))),
            (r"messages\[0\].tool_calls", ChatPrompt((ChatMessage("assistant", "a", tool_calls=(called,)),))),
            (r"messages\[0\].content\[1\]", ChatPrompt((ChatMessage("user", (TextPart("a"), MediaPart("image"))),))),
        ):
            refusal = f"^{field} cannot be put into the prompt of step 'only' of 'once'"
            with pytest.raises(InvalidRequest, match=refusal):
                await said(front_end, GenerationCall("once", chat))
        with pytest.raises(InvalidRequest, match="tools are given; allowed with 'twice', whose steps hand on texts"):
            await said(front_end, GenerationCall("twice", ChatPrompt(one, tools=(tool,))))

    with_routes(bundles, SYNTHETIC, test)


def test_text_that_a_later_step_does_not_take_is_told_with_the_step(bundles: list[Path]) -> None:
    routes = """
routes:
  grows:
    kind: pipeline
    steps:
      - {name: first, do: generate, model: one, max_tokens: 2}
      - {name: second, do: generate, model: two, prompt: "{{ 'x' * 500 }}"}
  breaks:
    kind: pipeline
    steps:
      - {name: first, do: generate, model: one, max_tokens: 2}
      - {name: second, do: generate, model: two, prompt: "{{ 1 // (text | length - text | length) }}"}
"""

    async def test(front_end: FrontEnd) -> None:
        told = r"model is 'grows', whose step 'second' did not take what it was given: text has 500 tokens"
        with pytest.raises(InvalidRequest, match=told):
            await said(front_end, ask("grows"))
        with pytest.raises(InvalidRequest, match=r"whose step 'second' has a template that cannot be rendered: .*zero"):
            await said(front_end, ask("breaks"))

    with_routes(bundles, routes, test)


def num_taken(front_end: FrontEnd) -> int:
    """Sequences that wait or run, of all models, and calls on ensembles."""
    hubs = [entry.serving.generation for entry in front_end.models.entries if entry.serving is not None]
    return sum(hub.gate.taken for hub in hubs if hub is not None) + front_end.routes.gate.taken


def test_who_leaves_ends_the_step_that_runs(bundles: list[Path]) -> None:
    metrics = Metrics(CollectorRegistry())

    async def test(front_end: FrontEnd) -> None:
        leaving = asyncio.create_task(said(front_end, ask("long")))
        await wait_until(lambda: num_taken(front_end) == 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await wait_until(lambda: num_taken(front_end) == 0)
        assert counted(metrics, "route_requests_total") == {("cancelled", "long", "first"): 1}
        for timeout_ms in itertools.cycle(range(2, 40)):  # it may pass before the step begins, or not at all
            with contextlib.suppress(DeadlineExceeded):
                await said(front_end, ask("long"), CallContext.new(timeout_s=timeout_ms / 1000))
            await wait_until(lambda: num_taken(front_end) == 0)
            if ("deadline_exceeded", "long", "first") in counted(metrics, "route_requests_total"):
                break

    with_routes(bundles, SYNTHETIC, test, metrics)


def test_a_pipeline_that_is_on_its_way_outlives_the_begin_of_a_drain(bundles: list[Path]) -> None:
    """Its later steps begin while the server takes nothing new any more; one that outlives the limit is ended."""

    async def test(front_end: FrontEnd) -> None:
        late = asyncio.create_task(said(front_end, ask("long", max_tokens=None)))
        await wait_until(lambda: num_taken(front_end) == 2)
        draining = asyncio.create_task(front_end.drain(60))
        _, end = await late
        assert [step.name for step in end.timings.steps] == ["first", "second"]
        await draining
        with pytest.raises(Draining):
            await said(front_end, ask("long"))

    with_routes(bundles, SYNTHETIC, test)


def test_a_drain_refuses_new_pipelines_at_once(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        draining = asyncio.create_task(front_end.drain(60))
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await said(front_end, ask("long"))
        await draining

    with_routes(bundles, SYNTHETIC, test)


def test_a_pipeline_that_outlives_the_limit_of_a_drain_is_ended(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        late = asyncio.create_task(said(front_end, ask("long")))
        await wait_until(lambda: num_taken(front_end) == 2)
        await front_end.drain(0)
        with pytest.raises(Draining):
            await late

    with_routes(bundles, SYNTHETIC, test)


def test_a_model_that_leaves_between_steps_ends_the_call(bundles: list[Path]) -> None:
    async def test(front_end: FrontEnd) -> None:
        late = asyncio.create_task(said(front_end, ask("long")))
        await wait_until(lambda: num_taken(front_end) == 2)
        await front_end.models.unload("two", 0)
        with pytest.raises(Exception, match=r"model (named )?'two'"):
            await late
        assert num_taken(front_end) == 0

    with_routes(bundles, SYNTHETIC, test)
