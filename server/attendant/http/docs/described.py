"""What is said of each path of the APIs: whose it is, what it does, what its body has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from attendant.http.api.anthropic.bodies import CountTokensBody, MessagesBody
from attendant.http.api.openai.audio_body import TranscriptionBody, TranslationBody
from attendant.http.api.openai.chat_body import ChatBody
from attendant.http.api.openai.completion_body import CompletionBody
from attendant.http.api.openai.embeddings import EmbeddingsBody
from attendant.http.api.openai.responses_body import ResponsesBody
from attendant.http.api.openai.tokens import DetokenizeBody, TokenizeBody
from attendant.http.api.openinference.bodies import ChangeBody, GenerateBody, IndexBody, InferBody, SettingsBody
from attendant.http.api.rerank.bodies import ClassifyBody, CohereBody, RerankBody, ScoreBody
from attendant.http.api.tei.bodies import AnyRerankBody, EmbedAllBody, EmbedBody, PredictBody

OPENAI, ANTHROPIC, RERANK, VLLM = "OpenAI", "Anthropic", "Ranks and labels", "Tokens and health"
TEI, PROTOCOL = "Text Embeddings Inference", "Open Inference Protocol"


@dataclass(frozen=True, slots=True)
class Described:
    """A path.

    Attributes:
        group: that it stands in.
        summary: what it does.
        body: what is sent; None for nothing.
        streams: it can answer with events. form: the body is a form with a file.
    """

    group: str
    summary: str
    body: type[BaseModel] | None = None
    streams: bool = False
    form: bool = False


def _models(path: str, described: Described) -> dict[str, Described]:
    """The same for the current version of a model and for one that is named."""
    return {f"/v2/models/{{model}}{version}{path}": described for version in ("", "/versions/{version}")}


DESCRIBED: Mapping[str, Described] = {
    "/v1/chat/completions": Described(OPENAI, "Answers a conversation.", ChatBody, streams=True),
    "/v1/completions": Described(OPENAI, "Continues prompts.", CompletionBody, streams=True),
    "/v1/responses": Described(OPENAI, "Answers, without keeping anything.", ResponsesBody, streams=True),
    "/v1/embeddings": Described(OPENAI, "Vectors of texts.", EmbeddingsBody),
    "/v1/audio/transcriptions": Described(
        OPENAI, "Writes what is said in a recording.", TranscriptionBody, streams=True, form=True
    ),
    "/v1/audio/translations": Described(OPENAI, "The same, in English.", TranslationBody, form=True),
    "/v1/models": Described(OPENAI, "Models and routes that take calls."),
    "/v1/models/{name}": Described(OPENAI, "One model."),
    "/v1/messages": Described(ANTHROPIC, "Answers a conversation.", MessagesBody, streams=True),
    "/v1/messages/count_tokens": Described(ANTHROPIC, "Tokens of a conversation.", CountTokensBody),
    "/v1/rerank": Described(RERANK, "Documents in the order of their relevance, as Jina has it.", RerankBody),
    "/rerank": Described(RERANK, "The same, or as Text Embeddings Inference has it.", AnyRerankBody),
    "/v2/rerank": Described(RERANK, "The same, as Cohere has it.", CohereBody),
    "/v1/score": Described(RERANK, "How pairs of texts belong together.", ScoreBody),
    "/score": Described(RERANK, "The same.", ScoreBody),
    "/classify": Described(RERANK, "Labels of texts.", ClassifyBody),
    "/embed": Described(TEI, "Vectors of texts.", EmbedBody),
    "/embed_all": Described(TEI, "A vector of each token.", EmbedAllBody),
    "/embed_sparse": Described(TEI, "Weights of words.", EmbedAllBody),
    "/predict": Described(TEI, "Labels of texts.", PredictBody),
    "/tokenize": Described(VLLM, "Token ids of a text or a conversation.", TokenizeBody),
    "/detokenize": Described(VLLM, "Text of token ids.", DetokenizeBody),
    "/health": Described(VLLM, "200 if the server takes calls, else 503."),
    "/ping": Described(VLLM, "The same."),
    "/version": Described(VLLM, "Version of the server."),
    "/v2/health/live": Described(PROTOCOL, "200 if the process answers."),
    "/v2/health/ready": Described(PROTOCOL, "200 if the server takes calls, else 503."),
    "/v2/repository/index": Described(PROTOCOL, "Versions of models.", IndexBody),
    "/v2/repository/models/{model}/load": Described(PROTOCOL, "Loads a model.", ChangeBody),
    "/v2/repository/models/{model}/unload": Described(PROTOCOL, "Unloads a model.", ChangeBody),
    "/v2/logging": Described(PROTOCOL, "Settings of the log.", SettingsBody),
    "/v2/trace/setting": Described(PROTOCOL, "Settings of traces.", SettingsBody),
    **_models("/infer", Described(PROTOCOL, "Tensors in, tensors out; as JSON, or JSON and bytes.", InferBody)),
    **_models("/generate", Described(PROTOCOL, "Values in, values out.", GenerateBody)),
    **_models("/generate_stream", Described(PROTOCOL, "The same, as events.", GenerateBody, streams=True)),
    **_models("/trace/setting", Described(PROTOCOL, "Settings of a model's traces.", SettingsBody)),
}
"""Paths without their converters. Others are told by what they do, as their code says it."""
