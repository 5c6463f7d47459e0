"""Receipts of a call that generates: one for each of its sequences, complete with its last token."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attendant.core.beams import BeamParams
from attendant.core.generation import Delta, GenerationCall, GenerationPart
from attendant.core.receipt import Maker, Receipt, TokenDigest, arrays_digest, changed_fields, settings_text
from attendant.core.sampling import SamplingParams
from attendant.frontend.generation.entry import Entry
from attendant.frontend.generation.params import for_sequence
from attendant.frontend.generation.prompts import Prepared

_NOT_SET = ("seed", "source_tokens", "logprobs", "asked_logprobs")
"""Parameters that a receipt has elsewhere (its seed, a part of its input), or that change nothing of an answer."""


class CallReceipts:
    """The receipts of one call, which its parts pass on their way out."""

    def __init__(self, maker: Maker, entry: Entry) -> None:
        self._params = entry.params
        settings = generation_settings(entry.call, entry.params, entry.beams, entry.stop)
        self._draft = Receipt(maker, "generate", settings_text(settings), _input(entry.prepared))
        self._outputs: defaultdict[int, TokenDigest] = defaultdict(TokenDigest)
        if (resume := entry.call.resume) is not None:
            self._outputs[resume.index].update(resume.token_ids)

    def complete(self, part: GenerationPart) -> GenerationPart:
        """The part, with a receipt if it ends a sequence."""
        if isinstance(part, Delta):
            self._outputs[part.index].update(part.token_ids)
            return part
        seed = for_sequence(self._params, part.index).seed if self._params.temperature > 0 else None
        output = self._outputs[part.index].hexdigest()
        return replace(part, receipt=replace(self._draft, output=output, seed=seed))


def generation_settings(
    call: GenerationCall, params: SamplingParams, beams: BeamParams | None, stop: tuple[str, ...]
) -> Mapping[str, Any]:
    """What holds for each sequence of a call after its model's defaults."""
    return {
        **changed_fields(params, *_NOT_SET),
        "beam_search": beams,
        "stop": stop,
        "keep_special_tokens": call.keep_special_tokens,
    }


def _input(prepared: Prepared) -> str:
    """The digest of a prompt's tokens; with a source, that of the digests of both, as bytes."""
    prompt = TokenDigest(prepared.prompt).hexdigest()
    if prepared.source is None:
        return prompt
    return hashlib.sha256(bytes.fromhex(prompt) + arrays_digest(prepared.source.arrays)).hexdigest()
