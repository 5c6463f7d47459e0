"""Models that encode, asked in the Open Inference Protocol: their answers are those of attendant.v1, to the bit."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from attendant.bundle import EmbeddingHead, ImageInput
from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.repository import VersionState
from attendant.frontend.encoding.calls import EmbedSparseCall
from attendant.frontend.front_end import FrontEnd
from attendant.rpc.convert_receipt import seal
from attendant.rpc.openinference.encoders import pieces, port
from attendant.rpc.openinference.infer import Inference
from attendant.rpc.openinference.models import Models
from attendant.tasks.images import pixel_values
from attendant_proto.v1 import encoding_pb2 as v1
from attendant_proto.v1.generation_pb2 import TokenIds

from tests.frontend.encoding.helpers import items
from tests.frontend.routes.helpers import with_routes
from tests.rpc.openinference.helpers import Server, refused, request, tensor, tensors, with_server
from tests.synthetic_encoder import (
    VOCAB,
    expected_row,
    expected_tokens,
    head,
    make_audio_encoder,
    make_image_encoder,
    make_sound_encoder,
    make_text_encoder,
)
from tests.system.encoders import MASK, add_special_tokens, png

TEXTS = ["it is fine", "no", "a longer text than both of the others"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    vectors = EmbeddingHead(pooling="mean", dimensions=4, normalise=True, prompts={"query": "find: "})
    found = {
        "classify": make_text_encoder(folder / "classify"),
        "rerank": make_text_encoder(folder / "rerank", "rerank", "padded", labels=("fits",)),
        "classify_tokens": make_text_encoder(folder / "classify_tokens", "classify_tokens", labels=("O", "B-X", "I-X")),
        "answer": make_text_encoder(folder / "answer", "answer"),
        "fill_mask": make_text_encoder(folder / "fill_mask", "fill_mask"),
        "embed": make_text_encoder(folder / "embed", "embed", embedding=vectors),
    }
    for bundle in found.values():
        add_special_tokens(bundle / "tokenizer.json")
    found["classify_image"] = make_image_encoder(folder / "classify_image")
    found["embed_image"] = make_image_encoder(folder / "embed_image", "embed_image")
    found["classify_audio"] = make_sound_encoder(folder / "classify_audio")
    found["transcribe"] = make_audio_encoder(folder / "transcribe")
    return found


def texts(*values: str) -> list[v1.TextInput]:
    return [v1.TextInput(text=value) for value in values]


def decoded(values: np.ndarray) -> list[Any]:
    return [decoded(value) if isinstance(value, np.ndarray) else value.decode() for value in values]


def test_embed(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        typed = await server.typed.Embed(v1.EmbedRequest(inputs=texts(*TEXTS)))
        response = await server.stub.ModelInfer(request("embed", tensor("text", TEXTS, "BYTES"), call_id="7"))
        assert (response.model_name, response.model_version, response.id) == ("embed", "1", "7")
        found = tensors(response)
        assert found["embedding"].tolist() == [list(each.values) for each in typed.embeddings]
        column = tensor("text", [[text] for text in TEXTS], "BYTES")
        again = tensors(await server.stub.ModelInfer(request("embed", column)))
        assert again["embedding"].tolist() == found["embedding"].tolist()

        asked = {"dimensions": 2, "normalize": False, "prompt": "query", "usage": True}
        typed = await server.typed.Embed(
            v1.EmbedRequest(inputs=texts(*TEXTS), dimensions=2, normalize=False, prompt="query")
        )
        response = await server.stub.ModelInfer(request("embed", tensor("text", TEXTS, "BYTES"), parameters=asked))
        assert tensors(response)["embedding"].tolist() == [list(each.values) for each in typed.embeddings]
        assert response.parameters["num_tokens"].int64_param == typed.usage.num_tokens
        assert response.parameters["compute_s"].double_param > 0

        typed = await server.typed.Embed(v1.EmbedRequest(inputs=texts(*TEXTS), per_token=True))
        each = tensors(
            await server.stub.ModelInfer(
                request("embed", tensor("text", TEXTS, "BYTES"), parameters={"per_token": True})
            )
        )
        flat = [token for embedding in typed.embeddings for token in embedding.tokens]
        assert each["token_embedding"].tolist() == [list(token.values) for token in flat]
        assert each["token_id"].tolist() == [token.token_id for token in flat]
        assert each["token_span"].tolist() == [[token.span.start, token.span.end] for token in flat]
        assert each["count"].tolist() == [len(embedding.tokens) for embedding in typed.embeddings]

    with_server(test, bundles["embed"])


def test_long_texts_and_results_of_many_parts_leave_the_loop_alone(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text may have many results; what receipts tell of them is written with them."""

    def watched(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            threads.append(threading.get_ident())
            return function(*args, **kwargs)

        return call

    async def test(server: Server) -> None:
        long = tensor("text", ["a b " * 20_000], "BYTES")
        await server.stub.ModelInfer(request("classify_tokens", long, parameters=asked | {"truncate": True}))
        assert len(threads) == 2
        monkeypatch.setattr(port, "MANY_RESULTS", 1)
        await server.stub.ModelInfer(request("classify_tokens", tensor("text", TEXTS[2:], "BYTES"), parameters=asked))
        read, *written = threads[2:]
        assert read == threading.get_ident() not in (threads[0], *written)

    threads: list[int] = []
    asked = {"receipt": True, "keep_outside": True, "aggregation": "none"}
    monkeypatch.setattr(pieces.ClassifyTokensPort, "read", watched(pieces.ClassifyTokensPort.read))
    monkeypatch.setattr(port, "seal", watched(seal))
    with_server(test, bundles["classify_tokens"])


def test_receipts(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        typed = await server.typed.Embed(v1.EmbedRequest(inputs=texts(*TEXTS), receipt=True))
        response = await server.stub.ModelInfer(
            request("embed", tensor("text", TEXTS, "BYTES"), parameters={"receipt": True})
        )
        receipt = json.loads(response.parameters["receipt"].string_param)
        assert receipt["output"] == typed.receipt.output
        assert receipt["input"] == typed.receipt.input
        assert receipt["settings"] == typed.receipt.settings

    with_server(test, bundles["embed"])


def padded(rows: Sequence[Sequence[int]], *, left: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n, longest] with 9s for padding, and their mask."""
    longest = max(map(len, rows))
    ids, mask = np.full((len(rows), longest), 9, np.int64), np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        part = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, part], mask[index, part] = row, 1
    return ids, mask


ROWS = [[1, 40, 41, 42, 2], [1, 7, 2], [1, 50, 51, 52, 53, 54, 55, 2]]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("whole", [np.int64, np.int32])
def test_ready_tokens_are_the_rows_of_attendant_v1(bundles: dict[str, Path], left: bool, whole: type) -> None:
    ids, mask = padded(ROWS, left=left)
    datatype: Any = "INT64" if whole is np.int64 else "INT32"
    inputs = (tensor("input_ids", ids.astype(whole), datatype), tensor("attention_mask", mask.astype(whole), datatype))
    given = [v1.TextInput(token_ids=TokenIds(ids=row)) for row in ROWS]

    async def test(server: Server) -> None:
        embedded = await server.typed.Embed(v1.EmbedRequest(model="embed", inputs=given))
        found = tensors(await server.stub.ModelInfer(request("embed", *inputs)))
        assert found["embedding"].tolist() == [list(each.values) for each in embedded.embeddings]
        labelled = await server.typed.Classify(v1.ClassifyRequest(model="classify", inputs=given))
        found = tensors(await server.stub.ModelInfer(request("classify", *inputs)))
        assert found["score"].tolist() == [[label.score for label in each.labels] for each in labelled.results]
        assert decoded(found["label"]) == [[label.label for label in each.labels] for each in labelled.results]

    with_server(test, bundles["embed"], bundles["classify"])


def test_ready_tokens_with_types_and_logits(bundles: dict[str, Path]) -> None:
    """What the tiny models compute anyone can work out."""
    ids, mask = padded(ROWS)
    types = [[0] * (len(row) - 2) + [1, 1] for row in ROWS]
    type_ids, _ = padded(types)
    inputs = (
        tensor("input_ids", ids, "INT64"),
        tensor("attention_mask", mask.astype(bool), "BOOL"),
        tensor("token_type_ids", np.where(mask, type_ids, 7), "INT64"),
    )

    async def test(server: Server) -> None:
        found = tensors(await server.stub.ModelInfer(request("classify", *inputs, parameters={"raw_scores": True})))
        for row, kinds, scores, indices in zip(ROWS, types, found["score"], found["index"], strict=True):
            assert scores.tolist() == expected_row(row, 3, kinds)[indices].tolist()
        found = tensors(await server.stub.ModelInfer(request("rerank", *inputs, parameters={"raw_scores": True})))
        scores = [expected_row(row, 1, kinds, positions=False)[0] for row, kinds in zip(ROWS, types, strict=True)]
        assert found["index"].tolist() == sorted(range(3), key=lambda index: -scores[index])
        assert found["score"].tolist() == sorted(scores, reverse=True)
        for task, width in (("classify_tokens", 3), ("answer", 2)):
            found = tensors(await server.stub.ModelInfer(request(task, *inputs)))
            logits = [expected_tokens(row, kinds) @ head(width) for row, kinds in zip(ROWS, types, strict=True)]
            assert found["logits"].tolist() == np.concatenate(logits).tolist()
            assert found["count"].tolist() == [len(row) for row in ROWS]
        masked = [[1, 3, 41, 3, 2], [1, 3, 2]]
        ids_of_masks, mask_of_masks = padded(masked)
        two = tensor("input_ids", ids_of_masks, "INT64"), tensor("attention_mask", mask_of_masks, "INT64")
        found = tensors(await server.stub.ModelInfer(request("fill_mask", *two)))
        wanted = [expected_tokens(masked[row])[place] @ head(VOCAB) for row, place in ((0, 1), (0, 3), (1, 1))]
        assert found["logits"].tolist() == np.stack(wanted).tolist()
        assert found["count"].tolist() == [2, 1]

    tasks = "classify", "rerank", "classify_tokens", "answer", "fill_mask"
    with_server(test, *(bundles[task] for task in tasks))


def test_classify_and_rerank(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        pairs = [v1.TextInput(text=text, pair="beside") for text in TEXTS]
        typed = await server.typed.Classify(v1.ClassifyRequest(inputs=pairs, top_k=2, raw_scores=True))
        inputs = tensor("text", TEXTS, "BYTES"), tensor("text_pair", ["beside"] * 3, "BYTES")
        asked = {"top_k": 2, "raw_scores": True}
        found = tensors(await server.stub.ModelInfer(request("classify", *inputs, parameters=asked)))
        assert decoded(found["label"]) == [[label.label for label in each.labels] for each in typed.results]
        assert found["score"].tolist() == [[label.score for label in each.labels] for each in typed.results]
        assert found["index"].tolist() == [[label.index for label in each.labels] for each in typed.results]
        only = await server.stub.ModelInfer(request("classify", *inputs, outputs=["index", "score"]))
        assert [output.name for output in only.outputs] == ["index", "score"]

        ranked = await server.typed.Rerank(v1.RerankRequest(query="what", documents=TEXTS, return_documents=True))
        inputs = tensor("query", ["what"], "BYTES"), tensor("documents", TEXTS, "BYTES")
        found = tensors(await server.stub.ModelInfer(request("rerank", *inputs, parameters={"return_documents": True})))
        assert found["index"].tolist() == [each.index for each in ranked.results]
        assert found["score"].tolist() == pytest.approx([each.score for each in ranked.results], abs=0)
        assert decoded(found["document"]) == [each.document for each in ranked.results]

    with_server(test, bundles["classify"], bundles["rerank"])


def test_pieces_of_texts(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        typed = await server.typed.ClassifyTokens(
            v1.ClassifyTokensRequest(texts=TEXTS, aggregation=v1.AGGREGATION_NONE, keep_outside=True)
        )
        asked = {"aggregation": "none", "keep_outside": True}
        found = tensors(
            await server.stub.ModelInfer(request("classify_tokens", tensor("text", TEXTS, "BYTES"), parameters=asked))
        )
        flat = [entity for result in typed.results for entity in result.entities]
        assert decoded(found["label"]) == [entity.label for entity in flat]
        assert decoded(found["text"]) == [entity.text for entity in flat]
        assert found["score"].tolist() == [entity.score for entity in flat]
        assert found["span"].tolist() == [[entity.span.start, entity.span.end] for entity in flat]
        assert found["count"].tolist() == [len(result.entities) for result in typed.results]

        items = [v1.AnswerRequest.Input(question="what is it", context=text) for text in TEXTS]
        typed = await server.typed.Answer(v1.AnswerRequest(inputs=items, top_k=2))
        inputs = tensor("question", ["what is it"] * 3, "BYTES"), tensor("context", TEXTS, "BYTES")
        found = tensors(await server.stub.ModelInfer(request("answer", *inputs, parameters={"top_k": 2})))
        flat = [answer for result in typed.results for answer in result.answers]
        assert decoded(found["answer"]) == [answer.text for answer in flat]
        assert found["score"].tolist() == [answer.score for answer in flat]
        assert found["count"].tolist() == [len(result.answers) for result in typed.results]

        texts_with_masks = [f"a {MASK} b {MASK}", f"{MASK}"]
        typed = await server.typed.FillMask(v1.FillMaskRequest(texts=texts_with_masks, top_k=3))
        found = tensors(
            await server.stub.ModelInfer(
                request("fill_mask", tensor("text", texts_with_masks, "BYTES"), parameters={"top_k": 3})
            )
        )
        masks = [mask for result in typed.results for mask in result.masks]
        assert found["token_id"].tolist() == [[fill.token_id for fill in mask.fills] for mask in masks]
        assert found["score"].tolist() == [[fill.score for fill in mask.fills] for mask in masks]
        assert decoded(found["filled_text"]) == [[fill.text for fill in mask.fills] for mask in masks]
        assert found["count"].tolist() == [2, 1]

    with_server(test, bundles["classify_tokens"], bundles["answer"], bundles["fill_mask"])


def test_sparse_vectors_and_cuts_at_the_begin(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        sparse = {"task": "embed_sparse"}
        found = tensors(
            await server.stub.ModelInfer(request("fill_mask", tensor("text", TEXTS, "BYTES"), parameters=sparse))
        )
        typed = await server.front_end.encoding.embed_sparse(EmbedSparseCall("fill_mask", items(*TEXTS)))
        assert found["token_id"].tolist() == [index for each in typed.results for index in each.indices.tolist()]
        assert found["weight"].tolist() == [weight for each in typed.results for weight in each.values.tolist()]
        assert found["count"].tolist() == [len(each.indices) for each in typed.results]

        left: dict[str, Any] = {"truncate": True, "truncate_left": True}
        long = ["x" * 200 + "y" * 200]
        embedded = await server.typed.Embed(v1.EmbedRequest(model="embed", inputs=texts(*long), **left))
        found = tensors(await server.stub.ModelInfer(request("embed", tensor("text", long, "BYTES"), parameters=left)))
        assert found["embedding"].tolist() == [list(each.values) for each in embedded.embeddings]

    with_server(test, bundles["fill_mask"], bundles["embed"])


def test_images(bundles: dict[str, Path]) -> None:
    files = [png((200, 10, 30)), png((0, 0, 0))]
    spec = ImageInput(height=4, width=6)
    pixels = np.stack([pixel_values(file, spec, "") for file in files])

    async def test(server: Server) -> None:
        typed = await server.typed.ClassifyImage(v1.ClassifyImageRequest(images=files))
        labels = [[label.label for label in each.labels] for each in typed.results]
        for given in (tensor("image", files, "BYTES"), tensor("pixel_values", pixels, "FP32")):
            found = tensors(await server.stub.ModelInfer(request("classify_image", given)))
            assert decoded(found["label"]) == labels
            assert found["score"].tolist() == [[label.score for label in each.labels] for each in typed.results]
        embedded = await server.typed.EmbedImage(v1.EmbedImageRequest(images=files))
        for given in (tensor("image", files, "BYTES"), tensor("pixel_values", pixels, "FP32")):
            found = tensors(await server.stub.ModelInfer(request("embed_image", given)))
            assert found["embedding"].tolist() == [list(each.values) for each in embedded.embeddings]
        wrong = tensor("pixel_values", np.where(pixels == 0, np.nan, pixels), "FP32")
        code, words = await refused(server.stub.ModelInfer(request("classify_image", wrong)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words.startswith("inputs[pixel_values][1] has a number that is infinite or none")

    with_server(test, bundles["classify_image"], bundles["embed_image"])


def test_labels_of_recordings(bundles: dict[str, Path]) -> None:
    samples = np.array([[0, 1, 1, 1, 0, 0, 0, 0.5], [0.25] * 8], np.float32)
    mask = np.array([[1] * 8, [1] * 4 + [0] * 4])
    stream = io.BytesIO()
    soundfile.write(stream, samples[0], 16_000, "FLOAT", format="WAV")

    async def test(server: Server) -> None:
        given = [samples[0], samples[1, :4]]
        recordings = [v1.AudioInput(samples=row.tobytes(), sampling_rate=16_000) for row in given]
        typed = await server.typed.ClassifyAudio(v1.ClassifyAudioRequest(inputs=recordings))
        inputs = tensor("samples", samples, "FP32"), tensor("attention_mask", mask, "INT64")
        found = tensors(await server.stub.ModelInfer(request("classify_audio", *inputs)))
        assert found["score"].tolist() == [[label.score for label in result.labels] for result in typed.results]
        assert found["index"].tolist() == [[label.index for label in result.labels] for result in typed.results]
        files = tensor("audio", [stream.getvalue()], "BYTES")
        of_file = tensors(await server.stub.ModelInfer(request("classify_audio", files)))
        assert of_file["score"].tolist() == found["score"][:1].tolist()

    with_server(test, bundles["classify_audio"])


def test_recordings(bundles: dict[str, Path]) -> None:
    samples = np.array([[0, 1, 1, 1, 0, 0, 0, 0.5], [0.25] * 8], np.float32)
    mask = np.array([[1] * 8, [1] * 4 + [0] * 4])
    stream = io.BytesIO()
    soundfile.write(stream, samples[0], 16_000, "FLOAT", format="WAV")

    async def test(server: Server) -> None:
        typed = await server.typed.Transcribe(
            v1.TranscribeRequest(
                inputs=[
                    v1.AudioInput(samples=row[:count].tobytes(), sampling_rate=16_000)
                    for row, count in zip(samples, (8, 4), strict=True)
                ]
            )
        )
        inputs = tensor("samples", samples, "FP32"), tensor("attention_mask", mask, "INT64")
        found = tensors(await server.stub.ModelInfer(request("transcribe", *inputs)))
        assert decoded(found["text"]) == [each.text for each in typed.results]
        words = [word for each in typed.results for word in each.words]
        assert decoded(found["word"]) == [word.text for word in words]
        assert (
            found["word_time_s"].tolist()
            == np.array([[word.start_s, word.end_s] for word in words], np.float32).tolist()
        )
        assert found["count"].tolist() == [len(each.words) for each in typed.results]
        typed = await server.typed.Transcribe(v1.TranscribeRequest(inputs=[v1.AudioInput(wav=stream.getvalue())]))
        found = tensors(
            await server.stub.ModelInfer(request("transcribe", tensor("audio", [stream.getvalue()], "BYTES")))
        )
        assert decoded(found["text"]) == [each.text for each in typed.results]

    with_server(test, bundles["transcribe"])


HOLES = np.array([[1, 0, 1], [1, 1, 0]])
IDS = tensor("input_ids", [[1, 2, 3], [4, 5, 6]], "INT64")


@pytest.mark.parametrize(
    ("model", "inputs", "parameters", "words"),
    [
        ("embed", [], {}, "inputs have none that a model works on; allowed: one of text, input_ids"),
        ("embed", [tensor("text", ["a"], "BYTES"), IDS], {}, "inputs are text and input_ids; allowed: one of"),
        ("embed", [tensor("text", [], "BYTES")], {}, "inputs[text] is empty; allowed: at least one"),
        ("embed", [tensor("text", [b"\xff"], "BYTES")], {}, "inputs[text][0] is not UTF-8"),
        ("embed", [tensor("text", ["x" * 400], "BYTES")], {}, "inputs[text][0] has 402 tokens"),
        ("embed", [tensor("text", ["a"], "BYTES")], {"dimensions": 5}, "parameters[dimensions] is 5; allowed: 1 to 4"),
        (
            "embed",
            [tensor("text", ["a"], "BYTES")],
            {"dimensions": "5"},
            "parameters[dimensions] is '5'; allowed: a whole",
        ),
        ("embed", [tensor("text", ["a"], "BYTES")], {"prompt": "no"}, "parameters[prompt] is 'no'; allowed: 'query'"),
        (
            "embed",
            [tensor("text", ["a"], "BYTES")],
            {"colour": 1},
            "parameters[colour] is not known; allowed here: dim",
        ),
        (
            "embed",
            [tensor("text", ["a"], "BYTES")],
            {"truncate": 1},
            "parameters[truncate] is 1; allowed: true or false",
        ),
        (
            "embed",
            [tensor("text", ["a"], "BYTES"), tensor("text_pair", ["a", "b"], "BYTES")],
            {},
            "inputs[text_pair].shape is [2]; allowed: [1], that of text",
        ),
        (
            "embed",
            [tensor("text", ["a"], "BYTES"), tensor("attention_mask", [[1]], "INT64")],
            {},
            "inputs[attention_mask] is beside text; allowed with it: text_pair",
        ),
        ("embed", [IDS, tensor("attention_mask", HOLES, "INT64")], {}, "inputs[attention_mask][0] has holes"),
        (
            "embed",
            [IDS, tensor("attention_mask", HOLES * 2, "INT64")],
            {},
            "inputs[attention_mask] has 0 to 2; allowed",
        ),
        ("embed", [IDS, tensor("attention_mask", [[1], [1]], "INT64")], {}, "inputs[attention_mask].shape is [2, 1]"),
        ("embed", [IDS, tensor("attention_mask", HOLES * 0, "INT64")], {}, "inputs[input_ids][0] has no tokens"),
        ("embed", [IDS, tensor("token_type_ids", HOLES * 4, "INT64")], {}, "inputs[token_type_ids][0] has 3 types"),
        (
            "embed",
            [tensor("input_ids", [[1, 300]], "INT64")],
            {},
            "inputs[input_ids][0] has 300 at position 1; allowed",
        ),
        ("embed", [tensor("input_ids", np.zeros((0, 4)), "INT64")], {}, "inputs[input_ids] is empty"),
        ("embed", [tensor("input_ids", np.zeros((2, 0)), "INT64")], {}, "inputs[input_ids][0] has no tokens"),
        ("rerank", [tensor("query", ["a"], "BYTES")], {}, "inputs[documents] is missing"),
        (
            "rerank",
            [tensor("query", ["a", "b"], "BYTES")],
            {},
            "inputs[query].shape is [2]; allowed: BYTES of shape [1]",
        ),
        ("answer", [tensor("question", ["a"], "BYTES")], {}, "inputs[context] is missing"),
        ("answer", [IDS], {"top_k": 2}, "parameters[top_k] is not known"),
        ("classify", [tensor("text", ["a"], "BYTES")], {"top_k": 0}, "parameters[top_k] is 0; allowed: at least 1"),
        ("classify", [tensor("text", ["a"], "BYTES")], {"task": "embed"}, "parameters[task] is 'embed'; allowed, for"),
        (
            "classify",
            [tensor("text", ["a"], "BYTES")],
            {"sequence_id": 3},
            "parameters[sequence_id] is set; allowed: uns",
        ),
        (
            "classify",
            [tensor("text", ["a"], "BYTES")],
            {"priority": -1},
            "parameters[priority] is -1; allowed: a whole",
        ),
        ("classify", [tensor("text", ["a"], "BYTES")], {"timeout": "soon"}, "parameters[timeout] is 'soon'; allowed"),
    ],
)
def test_what_is_wrong_is_named(
    bundles: dict[str, Path], model: str, inputs: Sequence[Any], parameters: dict[str, Any], words: str
) -> None:
    async def test(server: Server) -> None:
        code, found = await refused(server.stub.ModelInfer(request(model, *inputs, parameters=parameters)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert found.startswith(words)
        assert server.front_end.figures()[model].executions == 0

    with_server(test, bundles[model])


def test_outputs_that_a_request_does_not_give_are_named(bundles: dict[str, Path]) -> None:
    async def test(server: Server) -> None:
        call = request("classify_tokens", IDS, outputs=["label"])
        code, words = await refused(server.stub.ModelInfer(call))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words == (
            "outputs[label] is not given for this request, of input_ids and its parameters; allowed: logits, count"
        )

    with_server(test, bundles["classify_tokens"])


def test_routes_are_models_and_say_what_they_led_to(bundles: dict[str, Path], tmp_path: Path) -> None:
    ranks = make_text_encoder(tmp_path / "ranks", "rerank", labels=("fits",))
    both = "{kind: rrf, members: [{model: rerank}, {model: ranks}]}"
    routes = f"routes: {{alias: {{kind: alias, model: classify}}, both: {both}}}"

    async def test(front_end: FrontEnd) -> None:
        models = Models(front_end)
        asked = request("alias", tensor("text", TEXTS, "BYTES"), parameters={"usage": True})
        response = await Inference(models, asked).single(CallContext.new())
        (step,) = json.loads(response.parameters["steps"].string_param)
        assert (step["name"], step["model"]) == ("alias", "classify")
        plain = request("classify", tensor("text", TEXTS, "BYTES"))
        other = await Inference(models, plain).single(CallContext.new())
        assert response.raw_output_contents == other.raw_output_contents
        inputs = tensor("query", ["what"], "BYTES"), tensor("documents", TEXTS, "BYTES")
        fused = await Inference(models, request("both", *inputs)).single(CallContext.new())
        assert sorted(tensors(fused)["index"].tolist()) == [0, 1, 2]
        with pytest.raises(InvalidRequest, match=r"inputs\[input_ids\] are tokens; allowed with 'both'"):
            await Inference(models, request("both", IDS)).single(CallContext.new())
        index = {each.name: each.state for each in models.index()}
        assert index["alias"] is index["both"] is VersionState.READY
        with pytest.raises(InvalidRequest, match="name is 'both', a route"):
            await models.statistics("both")

    with_routes([bundles["classify"], bundles["rerank"], ranks], routes, test)
