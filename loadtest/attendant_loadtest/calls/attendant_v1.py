"""Calls of ``attendant.v1``."""

from __future__ import annotations

from typing import Any

from attendant_proto.v1 import encoding_pb2 as encoding
from attendant_proto.v1 import explain_pb2 as explain
from attendant_proto.v1 import generation_pb2 as generation
from attendant_proto.v1 import models_pb2 as models
from attendant_proto.v1 import speech_pb2 as speech
from grpc import StatusCode

from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.subject import GENERATES, RATE, READS, Subject
from attendant_loadtest.calls.user import CallingUser

_CODES: dict[int, str] = {code.value[0]: code.name for code in StatusCode}


def _generate(ask: Subject) -> generation.GenerateRequest:
    return generation.GenerateRequest(
        model=ask.model, text=ask.text(), stopping=generation.Stopping(max_tokens=ask.max_tokens)
    )


def _chat(ask: Subject) -> generation.GenerateRequest:
    chat = generation.Chat(messages=[generation.ChatMessage(role="user", content=ask.text())])
    return generation.GenerateRequest(
        model=ask.model, chat=chat, stopping=generation.Stopping(max_tokens=ask.max_tokens)
    )


def _inputs(ask: Subject) -> list[encoding.TextInput]:
    return [encoding.TextInput(text=text) for text in ask.texts()]


def _classify(ask: Subject) -> encoding.ClassifyRequest:
    return encoding.ClassifyRequest(model=ask.model, inputs=_inputs(ask), truncate=True)


def _embed(ask: Subject) -> encoding.EmbedRequest:
    return encoding.EmbedRequest(model=ask.model, inputs=_inputs(ask), truncate=True)


def _stream(ask: Subject) -> list[encoding.EncodingRequest]:
    return [encoding.EncodingRequest(id=str(number), embed=_embed(ask)) for number in range(4)]


def _stream_refusal(response: Any) -> str:
    return _CODES.get(response.error.code, "UNKNOWN") if response.HasField("error") else ""


def _answer(ask: Subject) -> encoding.AnswerRequest:
    question = encoding.AnswerRequest.Input(question="where?", context=ask.text())
    return encoding.AnswerRequest(model=ask.model, inputs=[question], truncate=True)


def _transcribe(ask: Subject) -> encoding.TranscribeRequest:
    return encoding.TranscribeRequest(model=ask.model, inputs=[encoding.AudioInput(wav=ask.wav())])


def _label_sound(ask: Subject) -> encoding.ClassifyAudioRequest:
    inputs = [encoding.AudioInput(wav=ask.wav())]
    return encoding.ClassifyAudioRequest(model=ask.model, inputs=inputs, truncate=True)


def _hear(ask: Subject) -> speech.SpeechRequest:
    return speech.SpeechRequest(options=_options(ask), file=ask.wav())


def _listen(ask: Subject) -> list[speech.SpeechStreamRequest]:
    sound = [speech.RawAudio(pcm16=ask.pcm(1 / 3), sampling_rate=RATE) for _ in range(3)]
    return [
        speech.SpeechStreamRequest(options=_options(ask)),
        *(speech.SpeechStreamRequest(raw=each) for each in sound),
    ]


def _options(ask: Subject) -> speech.SpeechOptions:
    return speech.SpeechOptions(model=ask.model)


def _attention(ask: Subject) -> explain.AttentionRequest:
    answer = explain.ExplainedAnswer(max_tokens=4)
    return explain.AttentionRequest(
        model=ask.model,
        subject=explain.Subject(text=ask.text()),
        answer=answer,
        reduction=explain.ATTENTION_REDUCTION_MEAN,
    )


def _attribute(ask: Subject) -> explain.AttributeRequest:
    return explain.AttributeRequest(model=ask.model, subject=explain.Subject(text=ask.text()))


def _similarity(ask: Subject) -> explain.SimilarityRequest:
    contexts = [explain.WordInContext(text=f"order {text}", word="order") for text in ask.texts()]
    return explain.SimilarityRequest(model=ask.model, contexts=contexts)


class GenerationUser(CallingUser):
    """Answers, and what would become of requests for them. Load of chats alone: :class:`GenerateUser`."""

    calls = (
        Rpc("attendant.v1.Generation/Generate", _generate, GENERATES),
        Rpc("attendant.v1.Generation/Generate", _chat, "continue+chat", note="chat"),
        Rpc("attendant.v1.Generation/Estimate", _generate, GENERATES),
    )


class EncodingUser(CallingUser):
    """A call for each task."""

    calls = (
        Rpc("attendant.v1.Encoding/Embed", _embed, "embed"),
        Rpc("attendant.v1.Encoding/Classify", _classify, "classify"),
        Rpc(
            "attendant.v1.Encoding/ClassifyTokens",
            lambda ask: encoding.ClassifyTokensRequest(model=ask.model, texts=ask.texts(), truncate=True),
            "classify_tokens",
        ),
        Rpc("attendant.v1.Encoding/Answer", _answer, "answer"),
        Rpc(
            "attendant.v1.Encoding/Rerank",
            lambda ask: encoding.RerankRequest(model=ask.model, query=ask.text(), documents=ask.texts(), truncate=True),
            "rerank",
        ),
        Rpc(
            "attendant.v1.Encoding/FillMask",
            lambda ask: encoding.FillMaskRequest(model=ask.model, texts=[ask.gap()], truncate=True),
            "fill_mask",
        ),
        Rpc(
            "attendant.v1.Encoding/ClassifyImage",
            lambda ask: encoding.ClassifyImageRequest(model=ask.model, images=[ask.image()]),
            "classify_image",
        ),
        Rpc(
            "attendant.v1.Encoding/EmbedImage",
            lambda ask: encoding.EmbedImageRequest(model=ask.model, images=[ask.image()]),
            "embed_image",
        ),
        Rpc("attendant.v1.Encoding/ClassifyAudio", _label_sound, "classify_audio"),
        Rpc("attendant.v1.Encoding/Transcribe", _transcribe, "transcribe"),
        Rpc("attendant.v1.Encoding/Stream", _stream, "embed", refusal=_stream_refusal, answers=True),
    )


class SpeechUser(CallingUser):
    """Recordings, and sound while it is recorded."""

    calls = (
        Rpc("attendant.v1.Speech/Transcribe", _hear, "speech"),
        Rpc("attendant.v1.Speech/StreamTranscribe", _listen, "speech"),
    )


class ExplainUser(CallingUser):
    """What models looked at."""

    calls = (
        Rpc("attendant.v1.Explain/Attention", _attention, "continue+attention|classify+attention"),
        Rpc("attendant.v1.Explain/Attribute", _attribute, GENERATES),
        Rpc("attendant.v1.Explain/Similarity", _similarity, "embed+attention|classify+attention"),
    )


class ModelsUser(CallingUser):
    """What there is. Models that go and come back: :class:`ReloadingUser`."""

    calls = (
        Rpc("attendant.v1.Models/ListModels", lambda ask: models.ListModelsRequest()),
        Rpc("attendant.v1.Models/GetModel", lambda ask: models.GetModelRequest(model=ask.model), READS),
        Rpc("attendant.v1.Models/Index", lambda ask: models.IndexRequest()),
    )


class TokenizerUser(CallingUser):
    """Words."""

    calls = (
        Rpc(
            "attendant.v1.Tokenizer/Tokenize",
            lambda ask: models.TokenizeRequest(model=ask.model, text=ask.text()),
            READS,
        ),
        Rpc(
            "attendant.v1.Tokenizer/Detokenize",
            lambda ask: models.DetokenizeRequest(model=ask.model, token_ids=ask.ids()),
            READS,
        ),
    )
