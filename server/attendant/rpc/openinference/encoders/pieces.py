"""Ports of models whose results are pieces of texts: spans, answers, words for masks. Of ready tensors, which have no
text, they give logits."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.bundle import EncoderTask
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import (
    AnswerCall,
    ClassifyTokensCall,
    Encoded,
    FillMaskCall,
    LogitsCall,
    Question,
)
from attendant.frontend.encoding.service import EncodingService
from attendant.rpc import convert_encoding as convert
from attendant.rpc.openinference.encoders.port import MOST, EncoderPort, Work, numbers, only_with, same_length, strings
from attendant.rpc.openinference.encoders.texts import OF_TOKENS, TOKEN_INPUTS, all_logits
from attendant.rpc.openinference.encoders.token_rows import token_items
from attendant.rpc.openinference.options import Options
from attendant.rpc.openinference.ports import InferCall, Tensor
from attendant.rpc.openinference.reading import texts
from attendant.rpc.sizes import num_fills, num_parts
from attendant.tasks.answers import DEFAULT_ANSWER_TOKENS, Answer
from attendant.tasks.masks import DEFAULT_FILLS, FilledMask
from attendant.tasks.tokens import Aggregation, Entity

AGGREGATIONS = {aggregation.value: aggregation for aggregation in Aggregation}


class ClassifyTokensPort(EncoderPort):
    """Labelled spans of texts."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        truncate = options.flag("truncate")
        if way == "input_ids":
            return logits_of_tokens(self.service, "classify_tokens", call, truncate=truncate)
        only_with(call, way)
        asked = ClassifyTokensCall(
            call.model,
            texts(call.inputs["text"]),
            truncate=truncate,
            aggregation=options.choice("aggregation", AGGREGATIONS, Aggregation.SIMPLE),
            stride=options.integer("stride", least=0, most=MOST),
            keep_outside=options.flag("keep_outside"),
            receipt=receipt,
        )
        return Work(
            lambda context: self.service.classify_tokens(asked, context),
            _entities,
            ("label", "score", "span", "text", "count"),
            convert.classify_tokens_response,
            asked,
            {"texts": "text"},
            num_parts,
        )


class AnswerPort(EncoderPort):
    """Answers found in texts."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        truncate = options.flag("truncate")
        if way == "input_ids":
            return logits_of_tokens(self.service, "answer", call, truncate=truncate)
        only_with(call, way, "context")
        if "context" not in call.inputs:
            raise InvalidRequest("inputs[context]", "is missing; allowed: BYTES of shape [n], beside question")
        same_length(call, "question", "context")
        top_k = options.integer("top_k", least=0, most=MOST)
        longest = options.integer("max_answer_tokens", least=0, most=MOST)
        asked = AnswerCall(
            call.model,
            tuple(map(Question, texts(call.inputs["question"]), texts(call.inputs["context"]))),
            truncate=truncate,
            top_k=1 if top_k is None else top_k,
            max_answer_tokens=DEFAULT_ANSWER_TOKENS if longest is None else longest,
            stride=options.integer("stride", least=0, most=MOST),
            allow_no_answer=options.flag("allow_no_answer"),
            receipt=receipt,
        )
        return Work(
            lambda context: self.service.answer(asked, context),
            _answers,
            ("answer", "score", "span", "count"),
            convert.answer_response,
            asked,
            {"inputs": "question", "inputs.question": "question", "inputs.context": "context"},
            num_parts,
        )


class FillMaskPort(EncoderPort):
    """Tokens for the masks of texts."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        truncate = options.flag("truncate")
        if way == "input_ids":
            return logits_of_tokens(self.service, "fill_mask", call, truncate=truncate)
        only_with(call, way)
        top_k = options.integer("top_k", least=0, most=MOST)
        asked = FillMaskCall(
            call.model, texts(call.inputs["text"]), truncate, DEFAULT_FILLS if top_k is None else top_k, receipt=receipt
        )
        return Work(
            lambda context: self.service.fill_mask(asked, context),
            _filled,
            ("token_id", "token", "score", "filled_text", "span", "count"),
            convert.fill_mask_response,
            asked,
            {"texts": "text"},
            num_fills,
        )


def logits_of_tokens(service: EncodingService, task: EncoderTask, call: InferCall, *, truncate: bool) -> Work:
    """The logits of ready tensors."""
    only_with(call, "input_ids", *TOKEN_INPUTS)
    asked = LogitsCall(call.model, task, token_items(call), truncate)
    return Work(lambda context: service.logits(asked, context), all_logits, ("logits", "count"), fields=OF_TOKENS)


def _entities(encoded: Encoded[tuple[Entity, ...]]) -> Iterator[Tensor]:
    found = [entity for entities in encoded.results for entity in entities]
    yield strings("label", [entity.label for entity in found])
    yield numbers("score", "FP32", [entity.score for entity in found])
    yield numbers("span", "INT64", [(entity.span.start, entity.span.end) for entity in found], len(found), 2)
    yield strings("text", [entity.text for entity in found])
    yield numbers("count", "INT64", list(map(len, encoded.results)))


def _answers(encoded: Encoded[tuple[Answer, ...]]) -> Iterator[Tensor]:
    found = [answer for answers in encoded.results for answer in answers]
    yield strings("answer", [answer.text for answer in found])
    yield numbers("score", "FP32", [answer.score for answer in found])
    yield numbers("span", "INT64", [(answer.span.start, answer.span.end) for answer in found], len(found), 2)
    yield numbers("count", "INT64", list(map(len, encoded.results)))


def _filled(encoded: Encoded[tuple[FilledMask, ...]]) -> Iterator[Tensor]:
    masks = [mask for filled in encoded.results for mask in filled]
    fills = [fill for mask in masks for fill in mask.fills]
    shape = len(masks), len(masks[0].fills)
    yield numbers("token_id", "INT64", [fill.token_id for fill in fills], *shape)
    yield strings("token", [fill.token for fill in fills], *shape)
    yield numbers("score", "FP32", [fill.score for fill in fills], *shape)
    yield strings("filled_text", [fill.text for fill in fills], *shape)
    yield numbers("span", "INT64", [(mask.span.start, mask.span.end) for mask in masks], len(masks), 2)
    yield numbers("count", "INT64", list(map(len, encoded.results)))
