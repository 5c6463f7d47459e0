"""Requests of TEI's clients as calls of the front end: one function for each method, which answers one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attendant_proto.tei import tei_pb2 as pb

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import ClassifyCall, EmbedCall, EmbedSparseCall, RerankCall, TextItem
from attendant.frontend.encoding.service import EncodingService
from attendant.frontend.tokenizer import TokenizerService
from attendant.models.lookup import ENCODER_WORDS
from attendant.rpc.tei import answers
from attendant.rpc.tei.answers import Answer


class _CanBeCut(Protocol):
    """A request that says which end of a text may be cut."""

    truncate: bool
    truncation_direction: pb.TruncationDirection


class Calls:
    """What each method does with one request.

    All take the name of a model, or an empty one, and the context of the call. ``patient``: the call waits for places
    in place of being refused while there are none. They raise AttendantError.
    """

    def __init__(self, encoding: EncodingService, tokenizer: TokenizerService) -> None:
        self._encoding = encoding
        self._tokenizer = tokenizer

    async def embed(
        self, request: pb.EmbedRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.EmbedResponse]:
        """A vector."""
        call = EmbedCall(
            model=model,
            inputs=(_item(request.inputs),),
            truncate=request.truncate,
            truncate_left=_left(request),
            dimensions=request.dimensions if request.HasField("dimensions") else None,
            normalize=request.normalize if request.HasField("normalize") else True,
            prompt=request.prompt_name,
            patient=patient,
        )
        encoded = await self._encoding.embed(call, context)
        return Answer(answers.embed_response(encoded, len(request.inputs)), encoded.usage)

    async def embed_sparse(
        self, request: pb.EmbedSparseRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.EmbedSparseResponse]:
        """A sparse vector."""
        if request.prompt_name:
            allowed = "none, as models that give sparse vectors have no prompts"
            raise InvalidRequest("prompt", f"is {request.prompt_name[:100]!r}; allowed: {allowed}")
        call = EmbedSparseCall(
            model, (_item(request.inputs),), request.truncate, truncate_left=_left(request), patient=patient
        )
        encoded = await self._encoding.embed_sparse(call, context)
        return Answer(await answers.embed_sparse_response(encoded, len(request.inputs)), encoded.usage)

    async def embed_all(
        self, request: pb.EmbedAllRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.EmbedAllResponse]:
        """A vector of each token."""
        call = EmbedCall(
            model=model,
            inputs=(_item(request.inputs),),
            truncate=request.truncate,
            truncate_left=_left(request),
            per_token=True,
            prompt=request.prompt_name,
            patient=patient,
        )
        try:
            encoded = await self._encoding.embed(call, context)
        except InvalidRequest as error:
            if error.field != "per_token":
                raise
            reason = "gives one vector for each input only; allowed: a model that pools the vectors of its tokens"
            raise InvalidRequest("model", reason) from None
        return Answer(answers.embed_all_response(encoded, len(request.inputs)), encoded.usage)

    async def predict(
        self, request: pb.PredictRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.PredictResponse]:
        """Labels of a text."""
        return await self._predicted(request, _item(request.inputs), model, context, patient)

    async def predict_pair(
        self, request: pb.PredictPairRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.PredictResponse]:
        """Labels of two texts, or of one."""
        return await self._predicted(request, _pair(request.inputs), model, context, patient)

    async def rerank(self, request: pb.RerankRequest, model: str, context: CallContext) -> Answer[pb.RerankResponse]:
        """Texts in order."""
        call = RerankCall(
            model=model,
            query=request.query,
            documents=tuple(request.texts),
            truncate=request.truncate,
            truncate_left=_left(request),
            return_documents=request.return_text,
            raw_scores=request.raw_scores,
        )
        characters = len(call.query) * len(call.documents) + sum(map(len, call.documents))
        encoded = await self._encoding.rerank(call, context)
        return Answer(answers.rerank_response(encoded, characters, with_text=request.return_text), encoded.usage)

    async def score(
        self, request: pb.RerankStreamRequest, model: str, context: CallContext, *, raw_scores: bool
    ) -> Answer[pb.RerankResponse]:
        """The rank of one text alone, which says how well it fits its query."""
        call = RerankCall(
            model=model,
            query=request.query,
            documents=(request.text,),
            truncate=request.truncate,
            truncate_left=_left(request),
            raw_scores=raw_scores,
            patient=True,
        )
        try:
            encoded = await self._encoding.rerank(call, context)
        except InvalidRequest as error:
            field = "text" if error.field.startswith("documents") else error.field  # a stream has one at a time
            raise InvalidRequest(field, error.reason) from None
        characters = len(request.query) + len(request.text)
        return Answer(answers.rerank_response(encoded, characters, with_text=False), encoded.usage)

    async def tokenize(
        self, request: pb.EncodeRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.EncodeResponse]:
        """Tokens of a text."""
        text, pieces = await self._tokenizer.pieces(
            model, request.inputs, special=request.add_special_tokens, prompt=request.prompt_name
        )
        return Answer(await answers.encode_response(text, pieces))

    async def decode(
        self, request: pb.DecodeRequest, model: str, context: CallContext, *, patient: bool = False
    ) -> Answer[pb.DecodeResponse]:
        """The text of tokens."""
        text = await self._tokenizer.detokenize(
            model, request.ids, keep_special_tokens=not request.skip_special_tokens, wanted=ENCODER_WORDS
        )
        return Answer(pb.DecodeResponse(text=text))

    async def _predicted(
        self,
        request: pb.PredictRequest | pb.PredictPairRequest,
        item: TextItem,
        model: str,
        context: CallContext,
        patient: bool,
    ) -> Answer[pb.PredictResponse]:
        call = ClassifyCall(
            model=model,
            inputs=(item,),
            truncate=request.truncate,
            truncate_left=_left(request),
            raw_scores=request.raw_scores,
            patient=patient,
        )
        encoded = await self._encoding.classify(call, context)
        return Answer(answers.predict_response(encoded, len(item.text) + len(item.pair)), encoded.usage)


def _item(text: str) -> TextItem:
    """Raises InvalidRequest for no text at all, as TEI does."""
    if not text:
        raise InvalidRequest("inputs", "is empty; allowed: a text")
    return TextItem(text)


def _pair(texts: Sequence[str]) -> TextItem:
    if len(texts) not in (1, 2):
        raise InvalidRequest("inputs", f"has {len(texts)} texts; allowed: 1 or 2")
    for index, text in enumerate(texts):
        if not text:
            raise InvalidRequest(f"inputs[{index}]", "is empty; allowed: a text")
    return TextItem(texts[0], texts[1] if len(texts) > 1 else "")


def _left(request: _CanBeCut) -> bool:
    """Whether a text that is too long loses its begin.

    Raises:
        InvalidRequest: a direction that does not exist.
    """
    if request.truncation_direction not in pb.TruncationDirection.values():
        allowed = ", ".join(pb.TruncationDirection.keys())
        raise InvalidRequest("truncation_direction", f"is {request.truncation_direction}; allowed: {allowed}")
    return request.truncate and request.truncation_direction == pb.TRUNCATION_DIRECTION_LEFT
