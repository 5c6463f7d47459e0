"""The port of each task that encodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attendant.bundle import EncoderTask
from attendant.frontend.front_end import FrontEnd
from attendant.models.info import ModelInfo
from attendant.rpc.openinference.encoders.media import (
    ClassifyAudioPort,
    ClassifyImagePort,
    EmbedImagePort,
    TranscribePort,
)
from attendant.rpc.openinference.encoders.pieces import AnswerPort, ClassifyTokensPort, FillMaskPort
from attendant.rpc.openinference.encoders.port import EncoderPort
from attendant.rpc.openinference.encoders.texts import ClassifyPort, EmbedPort, EmbedSparsePort, RerankPort
from attendant.rpc.openinference.ports import Port
from attendant.traffic.recorder import Recorder

PORTS: Mapping[EncoderTask, type[EncoderPort]] = {
    "classify": ClassifyPort,
    "classify_tokens": ClassifyTokensPort,
    "answer": AnswerPort,
    "embed": EmbedPort,
    "rerank": RerankPort,
    "fill_mask": FillMaskPort,
    "classify_image": ClassifyImagePort,
    "embed_image": EmbedImagePort,
    "classify_audio": ClassifyAudioPort,
    "transcribe": TranscribePort,
}


def encoder_ports(info: ModelInfo, front_end: FrontEnd, recorder: Recorder | None = None) -> Iterator[tuple[str, Port]]:
    """A port for each task of a model that encodes. ``recorder``: keeps some of the calls."""
    for encoding in info.encodings:
        yield encoding.task, PORTS[encoding.task](encoding, front_end.encoding, recorder)
        if encoding.task == "fill_mask":
            yield "embed_sparse", EmbedSparsePort(encoding, front_end.encoding, recorder)
