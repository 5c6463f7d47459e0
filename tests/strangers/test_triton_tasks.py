"""Triton's client has from each task of encoders, and from attendant.v1's own calls, what attendant.v1 gives."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import soundfile
from attendant_proto.v1 import encoding_pb2 as encoding
from attendant_proto.v1 import models_pb2
from google.protobuf.json_format import Parse

from tests.strangers.helpers import encoders, of_bytes
from tests.strangers.stranger import Stranger
from tests.system.encoders import MASK, png
from tests.system.server import HANGS_S, ServerProcess

IMAGES = (png((250, 250, 250)), png((3, 2, 1)))
DOCUMENTS = ("a", "bb", "a c")


def outputs(triton: Stranger, model: str, parameters: dict[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
    """The tensors of one answer."""
    words = {"parameters": parameters} if parameters else {}
    found = triton.ask("infer", model_name=model, inputs=inputs, **words)
    assert "error" not in found, found
    return dict(found["outputs"])


def test_documents_are_ranked(server: ServerProcess, triton: Stranger) -> None:
    found = outputs(triton, "ranks", query=of_bytes("q"), documents=of_bytes(*DOCUMENTS))
    request = encoding.RerankRequest(model="ranks", query="q", documents=DOCUMENTS)
    typed = encoders(server).Rerank(request, timeout=HANGS_S).results
    assert found["index"].tolist() == [each.index for each in typed]
    assert found["score"].tolist() == [each.score for each in typed]


def test_questions_are_answered(server: ServerProcess, triton: Stranger) -> None:
    found = outputs(triton, "answers", question=of_bytes("who?"), context=of_bytes("it was she"))
    asked = encoding.AnswerRequest.Input(question="who?", context="it was she")
    (typed,) = encoders(server).Answer(encoding.AnswerRequest(model="answers", inputs=[asked]), timeout=HANGS_S).results
    assert found["count"].tolist() == [len(typed.answers)]
    assert [text.decode() for text in found["answer"]] == [each.text for each in typed.answers]
    assert found["score"].tolist() == [each.score for each in typed.answers]
    assert found["span"].tolist() == [[each.span.start, each.span.end] for each in typed.answers]


def test_tokens_are_labelled(server: ServerProcess, triton: Stranger) -> None:
    text = "she was in a far town"
    found = outputs(triton, "tags", text=of_bytes(text))
    request = encoding.ClassifyTokensRequest(model="tags", texts=[text])
    (typed,) = encoders(server).ClassifyTokens(request, timeout=HANGS_S).results
    assert typed.entities
    assert [label.decode() for label in found["label"]] == [each.label for each in typed.entities]
    assert found["score"].tolist() == [each.score for each in typed.entities]


def test_masks_are_filled(server: ServerProcess, triton: Stranger) -> None:
    text = f"a {MASK} b"
    found = outputs(triton, "masks", {"top_k": 2}, text=of_bytes(text))
    request = encoding.FillMaskRequest(model="masks", texts=[text], top_k=2)
    ((typed,),) = (each.masks for each in encoders(server).FillMask(request, timeout=HANGS_S).results)
    assert found["token_id"].tolist() == [[each.token_id for each in typed.fills]]
    assert found["score"].tolist() == [[each.score for each in typed.fills]]


def test_images_are_embedded(server: ServerProcess, triton: Stranger) -> None:
    found = outputs(triton, "pictures", {"normalize": True}, image=of_bytes(*IMAGES))
    request = encoding.EmbedImageRequest(model="pictures", images=IMAGES, normalize=True)
    typed = encoders(server).EmbedImage(request, timeout=HANGS_S).embeddings
    assert found["embedding"].tolist() == [list(each.values) for each in typed]


def test_pixels_are_classified(server: ServerProcess, triton: Stranger) -> None:
    pixels = np.linspace(-1, 1, 3 * 4 * 6, dtype=np.float32).reshape(1, 3, 4, 6)
    twice = outputs(triton, "images", pixel_values=np.concatenate([pixels, pixels]))
    once = outputs(triton, "images", pixel_values=pixels)
    assert twice["score"].tolist() == once["score"].tolist() * 2


def test_speech_is_spelled(server: ServerProcess, triton: Stranger) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.full(40, 0.5, np.float32), 16_000, format="WAV", subtype="PCM_16")
    found = outputs(triton, "words", audio=of_bytes(file.getvalue()))
    asked = encoding.TranscribeRequest(model="words", inputs=[encoding.AudioInput(wav=file.getvalue())])
    (typed,) = encoders(server).Transcribe(asked, timeout=HANGS_S).results
    assert [text.decode() for text in found["text"]] == [typed.text]
    assert [word.decode() for word in found["word"]] == [each.text for each in typed.words]


def test_every_call_of_attendant_v1_is_there_as_json(server: ServerProcess, triton: Stranger) -> None:
    found = outputs(triton, "attendant", {"method": "attendant.v1.Models/ListModels"}, request=of_bytes("{}"))
    told = Parse(found["response"].item().decode(), models_pb2.ListModelsResponse())
    assert [model.name for model in told.models] == [
        model.name for model in server.models.ListModels(models_pb2.ListModelsRequest(), timeout=HANGS_S).models
    ]
    asked = json.dumps({"text": "Where is my order?"})
    found = outputs(triton, "demo", {"method": "attendant.v1.Tokenizer/Tokenize"}, request=of_bytes(asked))
    typed = server.tokenizer.Tokenize(models_pb2.TokenizeRequest(model="demo", text="Where is my order?"))
    assert Parse(found["response"].item().decode(), models_pb2.TokenizeResponse()) == typed
    refused = triton.ask(
        "infer", model_name="demo", inputs={"request": of_bytes("{}")}, parameters={"method": "attendant.v1.Fly/Away"}
    )
    assert refused["status"] == "StatusCode.INVALID_ARGUMENT"
    assert "attendant.v1.Explain/Attention" in refused["error"]
