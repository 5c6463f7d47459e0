"""Ports of models that read images and recordings."""

from __future__ import annotations

from collections.abc import Iterator

from attendant.bundle import AudioInput, SpectrumInput
from attendant.frontend.encoding.calls import (
    Audio,
    ClassifyAudioCall,
    ClassifyImageCall,
    EmbedImageCall,
    Encoded,
    Image,
    TranscribeCall,
)
from attendant.rpc import convert_encoding as convert
from attendant.rpc.openinference.encoders.port import MOST, EncoderPort, Work, numbers, only_with, strings
from attendant.rpc.openinference.encoders.texts import labels, vectors
from attendant.rpc.openinference.encoders.token_rows import spans
from attendant.rpc.openinference.options import Options
from attendant.rpc.openinference.ports import InferCall, Tensor
from attendant.tasks.ctc import Transcript


class ClassifyImagePort(EncoderPort):
    """Labels of images."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        top_k, raw = options.integer("top_k", least=0, most=MOST), options.flag("raw_scores")
        asked = ClassifyImageCall(call.model, _images(call, way), top_k, raw, receipt=receipt)
        return Work(
            lambda context: self.service.classify_image(asked, context),
            labels,
            ("label", "score", "index"),
            convert.classify_response,
            asked,
            {"images": way},
        )


class EmbedImagePort(EncoderPort):
    """Vectors of images."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        dimensions = options.integer("dimensions", least=0, most=MOST)
        normalize = options.optional_flag("normalize")
        asked = EmbedImageCall(call.model, _images(call, way), dimensions, normalize, receipt=receipt)
        return Work(
            lambda context: self.service.embed_image(asked, context),
            vectors,
            ("embedding",),
            convert.embed_response,
            asked,
            {"images": way},
        )


class ClassifyAudioPort(EncoderPort):
    """Labels of recordings."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        top_k, raw = options.integer("top_k", least=0, most=MOST), options.flag("raw_scores")
        truncate = options.flag("truncate")
        inputs = _recordings(self, call, way, options)
        asked = ClassifyAudioCall(call.model, inputs, truncate, top_k, raw, receipt=receipt)
        return Work(
            lambda context: self.service.classify_audio(asked, context),
            labels,
            ("label", "score", "index"),
            convert.classify_response,
            asked,
            {"inputs": way},
        )


class TranscribePort(EncoderPort):
    """The words of recordings."""

    def read(self, call: InferCall, way: str, options: Options, *, receipt: bool) -> Work:
        """See :meth:`EncoderPort.read`."""
        asked = TranscribeCall(call.model, _recordings(self, call, way, options), receipt=receipt)
        return Work(
            lambda context: self.service.transcribe(asked, context),
            _transcripts,
            ("text", "word", "word_time_s", "count", "warning"),
            convert.transcribe_response,
            asked,
            {"inputs": way},
        )


def _recordings(port: EncoderPort, call: InferCall, way: str, options: Options) -> tuple[Audio, ...]:
    """Sound files, or samples, whose rows are as long as ``attention_mask`` says."""
    if way == "audio":
        only_with(call, way)
        return tuple(Audio(data, is_wav=True) for data in call.inputs["audio"].values)
    only_with(call, "samples", "attention_mask")
    spec = port.manifest.input
    assert isinstance(spec, AudioInput | SpectrumInput), "the manifest's task takes audio"
    rate = options.integer("sampling_rate", least=0, most=MOST)
    values = call.inputs["samples"].values
    parts = spans(call, values.shape, "samples")
    return tuple(
        Audio(row[part].astype("<f4", copy=False).tobytes(), False, spec.sampling_rate if rate is None else rate)
        for row, part in zip(values, parts, strict=True)
    )


def _images(call: InferCall, way: str) -> tuple[Image, ...]:
    only_with(call, way)
    return tuple(call.inputs[way].values)


def _transcripts(encoded: Encoded[Transcript]) -> Iterator[Tensor]:
    words = [word for transcript in encoded.results for word in transcript.words]
    yield strings("text", [transcript.text for transcript in encoded.results])
    yield strings("word", [word.text for word in words])
    yield numbers("word_time_s", "FP32", [(word.start_s, word.end_s) for word in words], len(words), 2)
    yield numbers("count", "INT64", [len(transcript.words) for transcript in encoded.results])
    yield strings("warning", ["\n".join(transcript.warnings) for transcript in encoded.results])
