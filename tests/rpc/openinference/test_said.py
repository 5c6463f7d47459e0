"""Whatever a request says beside its tensors is understood, or refused by name; nothing else comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from attendant.core.errors import InvalidRequest
from attendant.rpc import convert
from attendant.rpc.convert_speech import speech_call
from attendant.rpc.openinference import asked, hearing
from attendant.rpc.openinference.methods import METHOD, MethodPort, methods_of
from attendant_proto.v1 import generation_pb2, models_pb2, speech_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.rpc.fake import manifest, run
from tests.rpc.openinference.calls import answers, infer_call

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0.5", "true"])
)
JSON = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from(["ids", "sequences", "entries", "num_beams", "5", "x"]), values, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(asked.KNOWN)) | st.text(max_size=12)
MODEL = manifest()


def refused(act: Callable[[], object]) -> str | None:
    """The field that is refused; None if nothing is."""
    try:
        act()
    except InvalidRequest as error:
        return error.field
    return None


@given(st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(NAMES, SCALARS.filter(bool), max_size=2))
def test_parameters_are_understood_or_refused(said: dict[str, Any], parameters: dict[str, Any]) -> None:
    call = replace(infer_call("fake", {"text_input": "a"}, sampling=said), parameters=parameters)
    field = refused(
        lambda: convert.generation_call(asked.read(call, MODEL, alone=False, scored=False).message),
    )
    assert field is None or any(name[:100] in field for name in (*said, *parameters))


@given(st.dictionaries(NAMES | st.sampled_from(["language", "task", "timestamps"]), JSON, max_size=3))
def test_what_is_said_of_a_recording_is_understood_or_refused(said: dict[str, Any]) -> None:
    call = infer_call("ears", {"audio": b"RIFF"}, sampling=said)
    field = refused(lambda: speech_call(hearing.read(call, alone=True).message.options))
    assert field is None or any(name[:100] in field for name in said)


@given(st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_chat_is_understood_or_refused(words: bytes) -> None:
    call = infer_call("fake", {"chat": words})
    field = refused(lambda: asked.read(call, MODEL, alone=False, scored=False))
    assert field is None or field.startswith("inputs[chat]")


@pytest.mark.parametrize("name", ["sampling_parameters", "chat"])
@pytest.mark.parametrize("words", [r'{"stop": "\ud800"}', r'{"\uDfff": 1}', '["' + "[" * 100_000])
def test_halves_of_characters_and_deep_nests_are_no_json(name: str, words: str) -> None:
    call = infer_call("fake", {"text_input": "a", name: words} if name != "chat" else {name: words})
    assert refused(lambda: asked.read(call, MODEL, alone=False, scored=False)) == f"inputs[{name}]"


@given(
    st.sampled_from(["Generation/Generate", "Tokenizer/Tokenize", "Speech/Transcribe"]),
    st.binary(max_size=20)
    | st.dictionaries(st.sampled_from(["model", "text", "options", "sampling"]), JSON).map(
        lambda value: json.dumps(value).encode()
    ),
)
def test_a_message_is_understood_or_refused(method: str, words: bytes) -> None:
    class Taken(Exception):
        """The message reached its method."""

    class Servicer:
        async def Tokenize(self, request: Any, context: Any) -> Any:  # noqa: N802
            raise Taken

        async def Generate(self, request: Any, context: Any) -> Any:  # noqa: N802
            raise Taken
            yield

        Transcribe = Tokenize

    services = [
        (file.DESCRIPTOR.services_by_name[name], Servicer())
        for file, name in ((generation_pb2, "Generation"), (models_pb2, "Tokenizer"), (speech_pb2, "Speech"))
    ]
    call = replace(infer_call("", {"request": words}), parameters={METHOD: f"attendant.v1.{method}"})

    async def test() -> None:
        with pytest.raises((Taken, InvalidRequest)):
            await answers(MethodPort(methods_of(services), "mine"), call)

    run(test)
