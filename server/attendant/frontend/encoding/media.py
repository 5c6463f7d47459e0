"""Calls on images and recordings. Their files are decoded one by one, in a few threads of their own."""

from __future__ import annotations

from dataclasses import replace

from attendant.bundle import AudioInput, ImageInput, PatchInput, SpectrumInput
from attendant.bundle.graph_io import EMBEDDING, FRAME_LOGITS, IMAGES, ROW_LOGITS, SOUND, SPECTRA
from attendant.core.encoding import Arrays
from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.active_call import EncoderCall
from attendant.frontend.encoding.calls import (
    Audio,
    ClassifyAudioCall,
    ClassifyImageCall,
    EmbedImageCall,
    Encoded,
    TranscribeCall,
)
from attendant.frontend.encoding.served import ServedEncoder, check_some
from attendant.tasks.audio import file_values, raw_values
from attendant.tasks.classification import Label, ranked_labels
from attendant.tasks.ctc import Transcript, transcribe
from attendant.tasks.embeddings import Embedding, VectorForm
from attendant.tasks.images import given_pixels, pixel_values
from attendant.tasks.patches import patches_of
from attendant.tasks.vectors import Floats, check_top_k


async def classify_image(
    encoder: ServedEncoder, active: EncoderCall, call: ClassifyImageCall
) -> Encoded[tuple[Label, ...]]:
    """The labels of each image, best first."""
    check_some(call.images, "images")
    check_top_k(call.top_k)
    manifest = encoder.manifest

    def read(index: int, outputs: Arrays) -> tuple[Label, ...]:
        return ranked_labels(
            outputs[ROW_LOGITS.name], manifest.labels, manifest.problem, top_k=call.top_k, raw=call.raw_scores
        )

    results = await active.run(
        len(call.images), lambda index: _pixels(encoder, call, index, active.max_pixels), read, media=_are_files(call)
    )
    return Encoded(results, active.usage(len(results)))


async def embed_image(encoder: ServedEncoder, active: EncoderCall, call: EmbedImageCall) -> Encoded[Embedding]:
    """One vector of each image."""
    check_some(call.images, "images")
    head = encoder.manifest.embedding
    assert head is not None, "the manifest has checked it"
    form = VectorForm.of(head, call.dimensions, call.normalize)

    def read(index: int, outputs: Arrays) -> Embedding:
        vector = outputs[EMBEDDING.name]  # [dimensions] float32
        if encoder.project is not None:
            vector = encoder.project(vector[None])[0]
        return Embedding(form.finish(vector))

    results = await active.run(
        len(call.images),
        lambda index: _pixels(encoder, call, index, active.max_pixels),
        read,
        media=_are_files(call),
        read_off_loop=encoder.project is not None,
    )
    return Encoded(results, active.usage(len(results)))


async def classify_audio(
    encoder: ServedEncoder, active: EncoderCall, call: ClassifyAudioCall
) -> Encoded[tuple[Label, ...]]:
    """The labels of each recording, best first. Files have to be whole: a part may have other labels."""
    check_some(call.inputs, "inputs")
    check_top_k(call.top_k)
    manifest, spec = encoder.manifest, encoder.manifest.input
    assert isinstance(spec, AudioInput | SpectrumInput), "the manifest's task takes audio"
    lengths: list[int] = []

    def arrays(index: int) -> Arrays:
        field = f"inputs[{index}]"
        values, early_end = _samples(call.inputs[index], spec, field, truncate=call.truncate)
        if early_end is not None:
            raise InvalidRequest(f"{field}.wav", f"is not whole: {early_end}; allowed: a whole file")
        lengths.append(len(values))
        if encoder.spectra is not None:
            return {SPECTRA.input_features.name: encoder.spectra(values)}
        return {SOUND.input_values.name: values}

    def read(index: int, outputs: Arrays) -> tuple[Label, ...]:
        return ranked_labels(
            outputs[ROW_LOGITS.name], manifest.labels, manifest.problem, top_k=call.top_k, raw=call.raw_scores
        )

    results = await active.run(len(call.inputs), arrays, read, media=True)
    active.heard(sum(lengths) / spec.sampling_rate)
    return Encoded(results, active.usage(sum(lengths)))


def _samples(
    audio: Audio, spec: AudioInput | SpectrumInput, field: str, *, truncate: bool = False
) -> tuple[Floats, str | None]:
    """[num_samples] float32 of a recording, and what tells that its file is not whole, or None."""
    if audio.is_wav:
        return file_values(audio.data, spec, f"{field}.wav", truncate=truncate)
    rate_field = f"{field}.sampling_rate"
    return raw_values(audio.data, audio.sampling_rate, spec, f"{field}.samples", rate_field, truncate=truncate), None


async def transcribe_all(encoder: ServedEncoder, active: EncoderCall, call: TranscribeCall) -> Encoded[Transcript]:
    """The words of each recording."""
    check_some(call.inputs, "inputs")
    spec, head = encoder.manifest.input, encoder.manifest.ctc
    assert isinstance(spec, AudioInput), "the manifest's task takes audio"
    assert head is not None, "the manifest has checked it"
    lengths: list[int] = []
    warnings: dict[int, str] = {}

    def arrays(index: int) -> Arrays:
        values, early_end = _samples(call.inputs[index], spec, f"inputs[{index}]")
        if early_end is not None:
            warnings[index] = early_end
        lengths.append(len(values))
        return {SOUND.input_values.name: values}

    def read(index: int, outputs: Arrays) -> Transcript:
        found = transcribe(outputs[FRAME_LOGITS.name], head, spec.sampling_rate)
        return replace(found, warnings=(warnings[index],)) if index in warnings else found

    results = await active.run(len(call.inputs), arrays, read, media=True)
    active.heard(sum(lengths) / spec.sampling_rate)
    return Encoded(results, active.usage(sum(lengths)))


def _are_files(call: ClassifyImageCall | EmbedImageCall) -> bool:
    return any(isinstance(image, bytes) for image in call.images)


def _pixels(encoder: ServedEncoder, call: ClassifyImageCall | EmbedImageCall, index: int, max_pixels: int) -> Arrays:
    spec = encoder.manifest.input
    image, field = call.images[index], f"images[{index}]"
    if isinstance(spec, PatchInput):
        assert isinstance(image, bytes), "no protocol takes patches"
        return patches_of(image, spec, field, max_pixels)
    assert isinstance(spec, ImageInput), "the manifest's task takes images"
    if isinstance(image, bytes):
        return {IMAGES.pixel_values.name: pixel_values(image, spec, field, max_pixels)}
    values = given_pixels(image, spec, field)
    return {IMAGES.pixel_values.name: values}
