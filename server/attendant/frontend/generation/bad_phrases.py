"""Texts that an answer must not have, as the tokens that spell them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.frontend.generation.prompts import timely
from attendant.models.generators import GeneratorPart

_FIELD = "bad_phrases"


async def with_bad_words(call: GenerationCall, model: GeneratorPart) -> GenerationCall:
    """What :func:`as_bad_words` makes of a call that has ``bad_phrases``; any other as it is."""
    if not call.bad_phrases:
        return call
    size = 2 * sum(map(len, call.bad_phrases))  # each is read twice
    return await timely(size, partial(as_bad_words, call, model))


def as_bad_words(call: GenerationCall, model: GeneratorPart) -> GenerationCall:
    """The call with the tokens of its ``bad_phrases`` among its bad words: besides those that it names or, if it names
    none, those of the model's own settings.

    Raises:
        InvalidRequest: one has no tokens.
    """
    words = call.bad_words
    if words is None:
        words = () if call.no_default_settings else model.manifest.settings.bad_words
    found = dict.fromkeys(words)  # each once
    for place, phrase in enumerate(call.bad_phrases):
        bare = phrase.removeprefix(" ")
        spelt = [model.text.tokenize(TextPrompt(text, add_special_tokens=False)) for text in (bare, f" {bare}")]
        if not all(each.token_ids for each in spelt):
            raise InvalidRequest(f"{_FIELD}[{place}]", "has no tokens; allowed: texts that have one at least")
        found |= dict.fromkeys(each.token_ids for each in spelt)
    return replace(call, bad_words=tuple(found), bad_phrases=())
