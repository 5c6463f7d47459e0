"""Ports of models that read texts and have one result for each: vectors, labels, ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import (
    ClassifyCall,
    EmbedCall,
    EmbedSparseCall,
    Encoded,
    LogitsCall,
    RerankCall,
    TextItem,
)
from attendant.frontend.encoding.service import EncodingService
from attendant.models.info import EncodingInfo
from attendant.rpc import convert_encoding as convert
from attendant.rpc.openinference.encoders.port import MOST, EncoderPort, Work, numbers, only_with, same_length, strings
from attendant.rpc.openinference.encoders.specs import SPARSE, TEXT_ITEMS
from attendant.rpc.openinference.encoders.token_rows import token_items
from attendant.rpc.openinference.options import Options
from attendant.rpc.openinference.ports import InferCall, Tensor
from attendant.rpc.openinference.reading import texts
from attendant.tasks.classification import Label, RankedDocument, relevance
from attendant.tasks.embeddings import Embedding
from attendant.tasks.sparse import SparseEmbedding
from attendant.tasks.vectors import Floats, check_top_k
from attendant.traffic.recorder import Recorder

TOKEN_INPUTS = "attention_mask", "token_type_ids"
OF_TOKENS = {"inputs": "input_ids", "inputs.token_ids": "input_ids", "inputs.type_ids": "token_type_ids"}


def text_items(call: InferCall, way: str) -> tuple[TextItem, ...]:
    """The inputs of a request, of ``text`` and ``text_pair`` or of ready tensors."""
    if way == "input_ids":
        only_with(call, way, *TOKEN_INPUTS)
        return token_items(call)
    only_with(call, way, "text_pair")
    firsts = texts(call.inputs["text"])
    if "text_pair" not in call.inputs:
        return tuple(map(TextItem, firsts))
    same_length(call, "text", "text_pair")
    return tuple(map(TextItem, firsts, texts(call.inputs["text_pair"])))


class EmbedPort(EncoderPort):
    """Vectors of texts, or of each of their tokens."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        asked = EmbedCall(
            call.model,
            text_items(call, way),
            truncate=options.flag("truncate"),
            dimensions=options.integer("dimensions", least=0, most=MOST),
            normalize=options.optional_flag("normalize"),
            per_token=options.flag("per_token"),
            prompt=options.text("prompt"),
            no_prompt=options.flag("no_prompt"),
            truncate_left=options.flag("truncate_left"),
            receipt=receipt,
        )
        gives = ("token_embedding", "token_id", "token_span", "count") if asked.per_token else ("embedding",)
        return Work(
            lambda context: self.service.embed(asked, context),
            by_token if asked.per_token else vectors,
            gives,
            convert.embed_response,
            asked,
            OF_TOKENS if way == "input_ids" else {"inputs": "text"},
        )


class ClassifyPort(EncoderPort):
    """Labels of texts."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        asked = ClassifyCall(
            call.model,
            text_items(call, way),
            truncate=options.flag("truncate"),
            top_k=options.integer("top_k", least=0, most=MOST),
            raw_scores=options.flag("raw_scores"),
            truncate_left=options.flag("truncate_left"),
            receipt=receipt,
        )
        return Work(
            lambda context: self.service.classify(asked, context),
            labels,
            ("label", "score", "index"),
            convert.classify_response,
            asked,
            OF_TOKENS if way == "input_ids" else {"inputs": "text"},
        )


class EmbedSparsePort(EncoderPort):
    """Weights of the vocabulary's tokens for texts, of a model that fills masks."""

    def __init__(self, info: EncodingInfo, service: EncodingService, recorder: Recorder | None = None) -> None:
        super().__init__(info, service, recorder)
        self.inputs, self.outputs = TEXT_ITEMS, SPARSE
        self._ways = ["text", "input_ids"]

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        asked = EmbedSparseCall(
            call.model,
            text_items(call, way),
            truncate=options.flag("truncate"),
            truncate_left=options.flag("truncate_left"),
        )
        return Work(
            lambda context: self.service.embed_sparse(asked, context),
            _weights,
            ("token_id", "weight", "count"),
            fields=OF_TOKENS if way == "input_ids" else {"inputs": "text"},
        )


class RerankPort(EncoderPort):
    """Documents by how well they fit a query; of ready tensors, which have a pair in each row, the rows."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        truncate, raw = options.flag("truncate"), options.flag("raw_scores")
        top_k = options.integer("top_k", least=0, most=MOST)
        if way == "input_ids":
            return self._of_tokens(call, top_k, truncate=truncate, raw=raw)
        only_with(call, way, "documents")
        if "documents" not in call.inputs:
            raise InvalidRequest("inputs[documents]", "is missing; allowed: BYTES of shape [n], beside query")
        asked = RerankCall(
            call.model,
            texts(call.inputs["query"])[0],
            texts(call.inputs["documents"]),
            truncate=truncate,
            top_k=top_k,
            return_documents=options.flag("return_documents"),
            raw_scores=raw,
            truncate_left=options.flag("truncate_left"),
            receipt=receipt,
        )
        return Work(
            lambda context: self.service.rerank(asked, context),
            _documents if asked.return_documents else _ranks,
            ("index", "score", *(("document",) if asked.return_documents else ())),
            convert.rerank_response,
            asked,
            {"documents": "documents", "query": "query"},
        )

    def _of_tokens(self, call: InferCall, top_k: int | None, *, truncate: bool, raw: bool) -> Work:
        only_with(call, "input_ids", *TOKEN_INPUTS)
        check_top_k(top_k)
        asked = LogitsCall(call.model, "rerank", token_items(call), truncate)

        def ranked(encoded: Encoded[Floats]) -> Iterator[Tensor]:
            scores = [relevance(logits, raw=raw) for logits in encoded.results]
            order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top_k]
            yield numbers("index", "INT64", order)
            yield numbers("score", "FP32", [scores[index] for index in order])

        return Work(lambda context: self.service.logits(asked, context), ranked, ("index", "score"), fields=OF_TOKENS)


def vectors(encoded: Encoded[Embedding]) -> Iterator[Tensor]:
    """A vector of each input."""
    yield Tensor("embedding", "FP32", np.stack([found.values for found in encoded.results if found.values is not None]))


def by_token(encoded: Encoded[Embedding]) -> Iterator[Tensor]:
    """A vector of each token of each input."""
    found = encoded.results
    yield numbers(
        "token_embedding", "FP32", np.concatenate([x.token_values for x in found if x.token_values is not None])
    )
    yield numbers("token_id", "INT64", np.concatenate([x.token_ids for x in found if x.token_ids is not None]))
    yield numbers("token_span", "INT64", np.concatenate([x.token_spans for x in found if x.token_spans is not None]))
    yield numbers("count", "INT64", [0 if x.token_ids is None else len(x.token_ids) for x in found])


def labels(encoded: Encoded[tuple[Label, ...]]) -> Iterator[Tensor]:
    """The labels of each input, best first."""
    shape = len(encoded.results), len(encoded.results[0])
    found = [label for results in encoded.results for label in results]
    yield strings("label", [label.label for label in found], *shape)
    yield numbers("score", "FP32", [label.score for label in found], *shape)
    yield numbers("index", "INT64", [label.index for label in found], *shape)


def _weights(encoded: Encoded[SparseEmbedding]) -> Iterator[Tensor]:
    yield numbers("token_id", "INT64", np.concatenate([found.indices for found in encoded.results]))
    yield numbers("weight", "FP32", np.concatenate([found.values for found in encoded.results]))
    yield numbers("count", "INT64", [len(found.indices) for found in encoded.results])


def _ranks(encoded: Encoded[RankedDocument]) -> Iterator[Tensor]:
    yield numbers("index", "INT64", [found.index for found in encoded.results])
    yield numbers("score", "FP32", [found.score for found in encoded.results])


def _documents(encoded: Encoded[RankedDocument]) -> Iterator[Tensor]:
    yield from _ranks(encoded)
    yield strings("document", [found.document for found in encoded.results])


def all_logits(encoded: Encoded[Floats]) -> Iterator[Tensor]:
    """The logits of all rows one after another, and how many each has."""
    parts: Sequence[Floats] = encoded.results
    yield Tensor("logits", "FP32", np.concatenate(parts))
    yield numbers("count", "INT64", [len(part) for part in parts])
