"""What is kept of calls on encoders that came as tensors: what attendant.v1 would have been asked, and its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.core.context import CallContext
from attendant.frontend.encoding import calls
from attendant.rpc import convert_encoding as convert
from attendant.rpc.openinference.encoders.recorded import typed_request
from attendant.rpc.openinference.ports import InferCall, Tensor
from attendant.rpc.openinference.registry import port_of
from attendant.tasks.tokens import Aggregation
from attendant_proto.v1 import encoding_pb2 as v1

from tests.rpc.openinference.helpers import Server, with_server
from tests.rpc.test_recording import Kept
from tests.synthetic_encoder import make_text_encoder

ITEMS = (calls.TextItem("a", "b"), calls.TextItem(token_ids=(1, 2)))


@pytest.mark.parametrize(
    ("call", "read"),
    [
        (
            calls.EmbedCall("m", ITEMS, True, 3, False, True, "p", False, True, receipt=True),
            convert.embed_call,
        ),
        (calls.EmbedCall("m", ITEMS), convert.embed_call),
        (calls.ClassifyCall("m", ITEMS, True, 2, True, True), convert.classify_call),
        (
            calls.ClassifyTokensCall("m", ("a",), True, Aggregation.MAX, 7, True),
            convert.classify_tokens_call,
        ),
        (calls.AnswerCall("m", (calls.Question("q", "c"),), True, 2, 9, 5, True), convert.answer_call),
        (calls.RerankCall("m", "q", ("a", "b"), True, 1, True, True), convert.rerank_call),
        (calls.FillMaskCall("m", ("a",), True, 3), convert.fill_mask_call),
        (calls.ClassifyImageCall("m", (b"a",), 2, True), convert.classify_image_call),
        (calls.EmbedImageCall("m", (b"a",), 2, False), convert.embed_image_call),
        (calls.ClassifyAudioCall("m", (calls.Audio(b"a", True),), True, 2, True), convert.classify_audio_call),
        (
            calls.TranscribeCall("m", (calls.Audio(b"a", True), calls.Audio(b"abcd", False, 8000))),
            convert.transcribe_call,
        ),
    ],
)
def test_what_is_kept_asks_for_the_same(call: Any, read: Any) -> None:
    assert read(typed_request(call)) == call


def test_what_attendant_v1_cannot_ask_is_not_kept() -> None:
    pixels = np.zeros((3, 2, 2), np.float32)
    assert typed_request(calls.ClassifyImageCall("m", (pixels,))) is None
    assert typed_request(calls.ClassifyCall("m", (calls.TextItem(token_ids=(1,), type_ids=(0,)),))) is None
    assert typed_request(calls.LogitsCall("m", "rerank", ITEMS)) is None


def test_a_call_is_kept_with_its_answer(tmp_path: Path) -> None:
    words = np.empty(1, object)
    words[:] = [b"fine"]
    call = InferCall("moods", {"text": Tensor("text", "BYTES", words)})

    async def test(server: Server) -> None:
        kept: Any = Kept()
        port = port_of(server.front_end.get_model("moods"), server.front_end, recorder=kept)  # type: ignore[arg-type]
        (answer,) = [each async for each in port.answer(call, CallContext.new(), alone=True)]
        assert "receipt" not in answer.parameters
        typed = await server.typed.Classify(v1.ClassifyRequest(inputs=[v1.TextInput(text="fine")], receipt=True))
        (found,) = kept.calls
        assert found.request == v1.ClassifyRequest(model="moods", inputs=[v1.TextInput(text="fine")], receipt=True)
        assert found.responses[0].results == typed.results
        assert found.receipts[0].output == typed.receipt.output

    with_server(test, make_text_encoder(tmp_path / "moods"))
