"""Texts that an answer must not have, as the tokens that spell them."""

from __future__ import annotations

from dataclasses import replace

from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall, TextPrompt
from attendant.models.generators import GeneratorPart

MAX_PHRASES = 256
MAX_CHARACTERS = 256
_FIELD = "bad_phrases"


def as_bad_words(call: GenerationCall, model: GeneratorPart) -> GenerationCall:
    """The call with the tokens of its ``bad_phrases`` among its bad words: besides those that it names or, if it names
    none, those of the model's own settings.

    Raises:
        InvalidRequest: there are too many, or one has no characters, too many, or no tokens.
    """
    if len(call.bad_phrases) > MAX_PHRASES:
        raise InvalidRequest(_FIELD, f"has {len(call.bad_phrases)} texts; allowed: at most {MAX_PHRASES}")
    words = call.bad_words
    if words is None:
        words = () if call.no_default_settings else model.manifest.settings.bad_words
    found = dict.fromkeys(words)  # each once
    for place, phrase in enumerate(call.bad_phrases):
        if not 0 < len(phrase) <= MAX_CHARACTERS:
            raise InvalidRequest(f"{_FIELD}[{place}]", f"has {len(phrase)} characters; allowed: 1 to {MAX_CHARACTERS}")
        bare = phrase.removeprefix(" ")
        spelt = [model.text.tokenize(TextPrompt(text, add_special_tokens=False)) for text in (bare, f" {bare}")]
        if not all(each.token_ids for each in spelt):
            raise InvalidRequest(f"{_FIELD}[{place}]", "has no tokens; allowed: texts that have one at least")
        found |= dict.fromkeys(each.token_ids for each in spelt)
    return replace(call, bad_words=tuple(found), bad_phrases=())
