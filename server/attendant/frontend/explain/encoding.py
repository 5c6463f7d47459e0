"""Subjects of models that encode: texts, pairs, images, recordings."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np

from attendant.bundle import AudioInput, ImageInput
from attendant.bundle.graph_io import IMAGES, SOUND
from attendant.core.attention import AttentionSubject
from attendant.core.errors import InvalidRequest
from attendant.core.generation import TextPrompt, TokenPrompt
from attendant.frontend.encoding.calls import TextItem
from attendant.frontend.encoding.served import ServedEncoder, is_long
from attendant.frontend.encoding.text import row_spans
from attendant.frontend.explain.calls import GivenAnswer, ImageFile, SoundFile, Subject
from attendant.frontend.explain.subjects import Looked, given_text, name_of, refuse, refuse_beside
from attendant.frontend.explain.tokens import decoder_of, explained, frame_tokens, numbered_tokens, patch_tokens
from attendant.tasks.audio import file_values
from attendant.tasks.images import pixel_values
from attendant.tasks.job_threads import JobThreads
from attendant.tasks.vectors import Floats


async def look(
    encoder: ServedEncoder, subject: Subject, answer: GivenAnswer | None, media: JobThreads, max_pixels: int
) -> Looked:
    """A subject of a model that encodes. ``max_pixels``: of an image.

    Raises:
        InvalidRequest: the model does not read it, or an answer is given, which it has none of.
    """
    name = encoder.manifest.name
    if answer is not None:
        raise InvalidRequest("answer", f"is for models that generate; {name!r} does not")
    match encoder.manifest.input:
        case ImageInput() as spec:
            refuse(subject, name, ("image",))
            refuse_beside(subject, name)
            assert isinstance(subject.given, ImageFile)
            return _image(
                encoder, await media.run(partial(pixel_values, subject.given.data, spec, "image", max_pixels))
            )
        case AudioInput() as spec:
            refuse(subject, name, ("audio",))
            refuse_beside(subject, name)
            assert isinstance(subject.given, SoundFile)
            values, _ = await media.run(partial(file_values, subject.given.data, spec, "audio"))
            return _sound(encoder, spec, values)
    refuse(subject, name, ("text", "token_ids"))
    refuse_beside(subject, name, "second_text")
    return await text_row(encoder, subject)


async def text_row(encoder: ServedEncoder, subject: Subject) -> Looked:
    """A text, a pair or token ids as a row of tokens."""
    make = partial(_text, encoder, subject)
    return await asyncio.to_thread(make) if is_long([given_text(subject), subject.second_text]) else make()


def _text(encoder: ServedEncoder, subject: Subject) -> Looked:
    given = subject.given
    if isinstance(given, TokenPrompt):
        if subject.second_text:
            raise InvalidRequest("second_text", "stands beside token_ids; allowed: beside text")
        item = TextItem(token_ids=given.token_ids)
    else:
        assert isinstance(given, TextPrompt)
        if not given.add_special_tokens:
            raise InvalidRequest("no_special_tokens", "is true; allowed with models that encode: false, or token_ids")
        item = TextItem(given.text, subject.second_text)
    try:
        row, first, second = encoder.text.item_rows([item], truncate=False, spans=True)[0]
    except InvalidRequest as error:
        raise InvalidRequest(name_of(subject), error.reason) from None
    tokenizer = encoder.text.tokenizer
    inside = np.zeros(len(row), np.bool_)
    if item.token_ids is not None:
        inside = np.array([not tokenizer.is_special(int(token)) for token in row.ids], np.bool_)
    else:
        inside[row.first.in_row] = inside[row.second.in_row] = True
    spans = row_spans(row, first, second, 0)
    assert encoder.hub.model.tokenizer is not None
    decode = decoder_of(encoder.hub.model.tokenizer)
    tokens = explained(decode, row.ids.tolist(), spans, inside.tolist())
    return Looked(AttentionSubject(encoder.text.rows.arrays(row)), tokens, text=item.text)


def _image(encoder: ServedEncoder, pixels: Floats) -> Looked:
    described, computes = encoder.manifest.attention, encoder.hub.model.attention
    grid = described.patches if described is not None else None
    most = computes.max_tokens if computes is not None else 0
    tokens = patch_tokens(grid) if grid is not None else numbered_tokens(most)
    return Looked(AttentionSubject({IMAGES.pixel_values.name: pixels}), tokens, grid=grid)


def _sound(encoder: ServedEncoder, spec: AudioInput, values: Floats) -> Looked:
    ctc = encoder.manifest.ctc
    frame_s = ctc.samples_per_frame / spec.sampling_rate if ctc is not None else 0.0
    duration_s = len(values) / spec.sampling_rate
    frames = (
        frame_tokens(int(duration_s / frame_s) + 1, frame_s, duration_s) if frame_s else numbered_tokens(len(values))
    )
    return Looked(AttentionSubject({SOUND.input_values.name: values}), frames, frame_s=frame_s)
