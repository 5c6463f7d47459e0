"""What a call may carry, and who may see by the speed of an answer what others asked."""

from __future__ import annotations

from typing import Annotated

from pydantic import ByteSize, Field

from attendant.settings.section import Section

_MEGABYTE = 1024 * 1024
_MOST_PIXELS = 178_956_970  # from where on the library that decodes images refuses by itself


class LimitsSettings(Section):
    """What a call may carry. What has more is refused with INVALID_ARGUMENT before anything is done with it."""

    max_text_characters: Annotated[int, Field(ge=1)] = Field(
        2**26, description="Characters of one text: a prompt, a message, an input, a document."
    )
    max_inputs: Annotated[int, Field(ge=1)] = Field(
        100_000, description="Inputs of one call on a model that encodes: texts, documents, images, recordings."
    )
    max_image_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(64 * _MEGABYTE), description="Size of one image file."
    )
    max_image_pixels: Annotated[int, Field(ge=1, le=_MOST_PIXELS)] = Field(
        64_000_000, description="Pixels of one image, as its file says before it is decoded."
    )
    max_sound_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(64 * _MEGABYTE), description="Size of one recording, or of a piece of a stream."
    )
    max_sequences: Annotated[int, Field(ge=1)] = Field(128, description="Sequences that one call may ask for (n).")
    max_answer_tokens: Annotated[int, Field(ge=1)] = Field(
        2**22, description="Tokens that all sequences of a call may have together: n times max_tokens."
    )
    max_logprobs: Annotated[int, Field(ge=0, le=64)] = Field(
        64, description="Most probable tokens that are told beside each generated one."
    )
    max_logit_bias: Annotated[int, Field(ge=0)] = Field(4096, description="Entries of logit_bias.")
    max_listed_tokens: Annotated[int, Field(ge=0)] = Field(
        2**16,
        description="Tokens of each list that chooses among tokens or ends an answer: stop_token_ids, "
        "suppress_tokens, begin_suppress_tokens, bad_words, sequence_bias.",
    )
    max_stop_strings: Annotated[int, Field(ge=0)] = Field(16, description="Stop strings of a call.")
    max_stop_characters: Annotated[int, Field(ge=1)] = Field(256, description="Characters of a stop string.")
    max_bad_phrases: Annotated[int, Field(ge=0)] = Field(256, description="Texts that an answer must not have.")
    max_bad_phrase_characters: Annotated[int, Field(ge=1)] = Field(256, description="Characters of each of them.")
    max_chat_pieces: Annotated[int, Field(ge=1)] = Field(
        2**16,
        description="Messages of a conversation, parts of their contents, tool calls, tools and documents, all "
        "together.",
    )
    max_grammar_choices: Annotated[int, Field(ge=1)] = Field(
        2**14, description="Texts of a grammar that has an answer be one of some."
    )
    max_text_tokens: Annotated[int, Field(ge=1)] = Field(2**20, description="Token ids that are made a text again.")
    max_name_characters: Annotated[int, Field(ge=1)] = Field(
        1024,
        description="Characters of every text of a message of gRPC that has no limit of its own: names of models, "
        "languages and labels, roles, ids.",
    )
    max_entries: Annotated[int, Field(ge=1)] = Field(
        4096,
        description="Entries of every list of a message of gRPC that has no limit of its own: layers and heads, spans, "
        "parameters, tensors, settings.",
    )
    max_nesting: Annotated[int, Field(ge=1, le=200)] = Field(
        200, description="Levels of lists and objects within each other, in a JSON text or body."
    )
    prefix_cache_by_tenant: bool = Field(
        False,
        description="Share cached beginnings of prompts among calls of one tenant alone, whatever salts calls bring. "
        "Otherwise calls without a salt share them, and may see by the speed of an answer that a prompt was there.",
    )
