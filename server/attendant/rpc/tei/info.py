"""What TEI's clients may know of a model: the one that is named, or the only one that their calls could mean."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attendant_proto.tei import tei_pb2 as pb

from attendant import __version__
from attendant.bundle import EncoderTask, Precision, TextInput
from attendant.core.errors import InvalidRequest, Unavailable
from attendant.frontend.front_end import FrontEnd
from attendant.models.failed import FailedModel
from attendant.models.info import EncodingInfo, ModelInfo

MODEL_TYPES: Mapping[EncoderTask, pb.ModelType] = {
    "embed": pb.MODEL_TYPE_EMBEDDING,
    "fill_mask": pb.MODEL_TYPE_EMBEDDING,
    "classify": pb.MODEL_TYPE_CLASSIFIER,
    "rerank": pb.MODEL_TYPE_RERANKER,
}
"""Of models that calls of TEI's clients can be about, by task."""

DTYPES: Mapping[Precision, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""Other precisions go by their own names."""


def info_of(front_end: FrontEnd, name: str) -> pb.InfoResponse:
    """What there is to know of a model, or of what a route leads to; an empty name means the only model.

    Raises:
        InvalidRequest: there is not just one, or the one that is named is for other calls.
        ModelNotFound, ModelFailed. Unavailable: it is being loaded.
    """
    current = [model for model in front_end.list_models() if model.current and model.route is None]
    fitting = [model.name for model in current if _task_of(model) is not None]
    allowed = (
        f"allowed, of those that embed, classify or rerank texts: {', '.join(map(repr, sorted(fitting))) or 'none'}"
    )
    if not name:
        if len(fitting) != 1:
            raise InvalidRequest("model", f"is empty; {allowed}")
        name = fitting[0]
    model = front_end.served_model(name)
    task = _task_of(model)
    if task is None:
        raise InvalidRequest("model", f"is {name!r}, which is for task {model.capabilities[0]}; {allowed}")
    found = next((part for part in model.encodings if part.task == task), None)
    if found is None:
        raise Unavailable(f"model {name!r} is being loaded; try again")
    return _message(model, found)


def _task_of(model: ModelInfo | FailedModel) -> EncoderTask | None:
    return next((task for task in MODEL_TYPES if task in model.capabilities), None)


def _message(model: ModelInfo, part: EncodingInfo) -> pb.InfoResponse:
    manifest = part.manifest
    assert isinstance(manifest.input, TextInput), "models of these tasks read texts"
    return pb.InfoResponse(
        version=__version__,
        model_id=manifest.source.id,
        model_sha=manifest.source.revision,
        model_dtype=DTYPES.get(manifest.precision, manifest.precision),
        model_type=MODEL_TYPES[part.task],
        max_concurrent_requests=part.max_requests,
        max_input_length=manifest.input.max_tokens,
        max_batch_tokens=part.max_batch_tokens,
        max_batch_requests=part.max_running,
        max_client_batch_size=part.max_requests,
        tokenization_workers=min(32, (os.cpu_count() or 1) + 4),  # threads of asyncio's pool
    )
