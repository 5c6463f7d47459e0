"""Messages of attendant.v1.Encoding to calls, and results to messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attendant.bundle import EmbeddingHead, EncoderManifest, TextInput
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import Encoded, EncodingUsage, TextItem
from attendant.models.info import EncodingInfo, ModelInfo, ModelState
from attendant.rpc import convert_encoding as encoding
from attendant.rpc.convert_models import model_message
from attendant.tasks.answers import Answer
from attendant.tasks.classification import RankedDocument
from attendant.tasks.ctc import Transcript, Word
from attendant.tasks.embeddings import Embedding
from attendant.tasks.masks import Fill, FilledMask
from attendant.tasks.spans import Span
from attendant.tasks.tokens import Aggregation, Entity
from attendant_proto.v1 import encoding_pb2 as pb

from tests.rpc.fake import manifest

KNOWN: Any = 5  # a way to aggregate, by its number
UNKNOWN: Any = 77
USAGE = EncodingUsage(7, 1, 10**9, 2 * 10**9, 3 * 10**9, 4 * 10**9)


def test_requests_become_calls() -> None:
    texts = [pb.TextInput(text=""), pb.TextInput(text="a", pair="b"), pb.TextInput(token_ids={"ids": [1, 2]})]
    embed = encoding.embed_call(pb.EmbedRequest(inputs=texts, dimensions=0, normalize=False, prompt="p"))
    assert embed.inputs == (TextItem(""), TextItem("a", "b"), TextItem(token_ids=(1, 2)))
    assert (embed.dimensions, embed.normalize, embed.prompt, embed.model) == (0, False, "p", "")
    plain = encoding.embed_call(pb.EmbedRequest())
    assert (plain.dimensions, plain.normalize) == (None, None)
    answer = encoding.answer_call(pb.AnswerRequest(inputs=[pb.AnswerRequest.Input(question="q", context="c")]))
    assert (answer.top_k, answer.max_answer_tokens, answer.stride) == (1, 15, None)
    assert answer.inputs[0].context == "c"
    assert encoding.fill_mask_call(pb.FillMaskRequest()).top_k == 5
    assert encoding.classify_tokens_call(pb.ClassifyTokensRequest()).aggregation is Aggregation.SIMPLE
    assert encoding.classify_tokens_call(pb.ClassifyTokensRequest(aggregation=KNOWN, stride=0)).stride == 0
    assert encoding.classify_image_call(pb.ClassifyImageRequest(images=[b"x"], top_k=2)).images == (b"x",)
    audio = encoding.transcribe_call(pb.TranscribeRequest(inputs=[pb.AudioInput(samples=b"abcd", sampling_rate=8)]))
    assert (audio.inputs[0].is_wav, audio.inputs[0].sampling_rate) == (False, 8)
    rerank = encoding.rerank_call(pb.RerankRequest(query="q", documents=["a"], top_k=3))
    assert (rerank.query, rerank.documents, rerank.top_k) == ("q", ("a",), 3)


@pytest.mark.parametrize(
    ("convert_request", "request_", "field"),
    [
        (encoding.embed_call, pb.EmbedRequest(inputs=[pb.TextInput(pair="b")]), "inputs[0]"),
        (
            encoding.classify_call,
            pb.ClassifyRequest(inputs=[{"token_ids": {"ids": [1]}, "pair": "b"}]),
            "inputs[0].pair",
        ),
        (encoding.classify_tokens_call, pb.ClassifyTokensRequest(aggregation=UNKNOWN), "aggregation"),
        (encoding.classify_audio_call, pb.ClassifyAudioRequest(inputs=[pb.AudioInput(sampling_rate=1)]), "inputs[0]"),
        (encoding.transcribe_call, pb.TranscribeRequest(inputs=[pb.AudioInput(sampling_rate=1)]), "inputs[0]"),
    ],
)
def test_requests_that_say_nothing_are_refused(convert_request: Any, request_: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert_request(request_)
    assert caught.value.field == field


@pytest.mark.parametrize("length", [1, 3, 384, 70_000])
def test_vectors_arrive_bit_for_bit(length: int) -> None:
    values = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    tokens = Embedding(
        token_values=np.stack([values, -values]), token_ids=np.array([5, 9]), token_spans=np.array([[0, 0], [2, 4]])
    )
    message = encoding.embed_response(Encoded([Embedding(values), tokens], USAGE))
    read = pb.EmbedResponse.FromString(message.SerializeToString())
    one, two = read.embeddings
    assert np.array(one.values, np.float32).tobytes() == values.tobytes()
    assert np.array(two.tokens[1].values, np.float32).tobytes() == (-values).tobytes()
    assert [(t.token_id, t.span.start, t.span.end) for t in two.tokens] == [(5, 0, 0), (9, 2, 4)]


def test_results_become_responses() -> None:
    entity, reply = Entity("PER", 0.5, Span(1, 3), "ab"), Answer("ab", 0.25, Span(1, 3))
    tagged = encoding.classify_tokens_response(Encoded([(entity,), ()], USAGE))
    assert [len(result.entities) for result in tagged.results] == [1, 0]
    assert (tagged.results[0].entities[0].span.end, tagged.usage.num_truncated, tagged.usage.total_s) == (3, 1, 4)
    answers = encoding.answer_response(Encoded([(reply,)], USAGE)).results[0].answers
    assert (answers[0].text, answers[0].span.start) == ("ab", 1)
    ranked = encoding.rerank_response(Encoded([RankedDocument(4, 0.5, "d")], USAGE)).results[0]
    assert (ranked.index, ranked.score, ranked.document) == (4, 0.5, "d")
    filled = FilledMask(Span(0, 6), (Fill(7, "cat", 0.5, "the cat"),))
    masks = encoding.fill_mask_response(Encoded([(filled,)], USAGE)).results[0].masks
    assert (masks[0].span.end, masks[0].fills[0].token_id, masks[0].fills[0].text) == (6, 7, "the cat")
    transcript = Transcript("hi you", (Word("hi", 0.5, 1.0), Word("you", 1.5, 2.0)))
    spoken = encoding.transcribe_response(Encoded([transcript], USAGE)).results[0]
    assert (spoken.text, [(word.text, word.start_s, word.end_s) for word in spoken.words][1]) == (
        "hi you",
        ("you", 1.5, 2.0),
    )


def _info(part: EncodingInfo, state: ModelState) -> ModelInfo:
    return ModelInfo(part.manifest, part.manifest.capabilities, state, encodings=(part,))


def test_models_that_encode_are_shown() -> None:
    base = manifest().model_dump(
        include={
            "name",
            "architecture",
            "target",
            "precision",
            "files",
            "parity",
            "source",
            "exporter_version",
            "graphs",
        }
    )
    head = EmbeddingHead(pooling="mean", dimensions=384)
    shown = EncoderManifest(**base, task="embed", input=TextInput(max_tokens=512), layout="packed", embedding=head)
    message = model_message(_info(EncodingInfo(shown, 30_522, 64, 4160), ModelState.READY))
    assert (message.task, message.context_length, message.dimensions, message.vocab_size) == ("embed", 512, 384, 30_522)
    labelled = EncoderManifest(
        **base, task="classify", input=TextInput(max_tokens=8), layout="padded", labels=("a", "b")
    )
    message = model_message(_info(EncodingInfo(labelled, 5, 64, 4160), ModelState.FAILED))
    assert (list(message.labels), message.dimensions, message.ready, message.max_running) == (["a", "b"], 0, False, 64)
