"""An answer that goes on where another server, or this one, has left it: what a call may ask for then."""

from __future__ import annotations

from attendant.core.beams import BeamParams
from attendant.core.errors import InvalidRequest
from attendant.core.generation import GenerationCall
from attendant.core.sampling import SamplingParams
from attendant.frontend.generation.prompts import check_ids
from attendant.models.generators import GeneratorPart

_FIELD = "resume"


def check_resumed(
    call: GenerationCall, model: GeneratorPart, params: SamplingParams, beams: BeamParams | None, *, num_prompt: int
) -> None:
    """See to it that the rest of an answer can come as it would have come without a break.

    Args:
        num_prompt: tokens of the prompt.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    resume = call.resume
    if resume is None:
        return
    if beams is not None:
        raise InvalidRequest(
            _FIELD, f"is set, and the search with {beams.num_beams} beams gives its results as a whole; ask for it anew"
        )
    if call.n != 1:
        raise InvalidRequest("n", f"is {call.n}; allowed with {_FIELD}: 1, a call for each sequence ({_FIELD}.index)")
    if params.temperature > 0 and call.seed is None:
        raise InvalidRequest("seed", f"is missing; allowed with {_FIELD}: the one that the answer began with")
    most = min(params.max_tokens, model.context_length - num_prompt)
    if len(resume.token_ids) > most:
        raise InvalidRequest(
            f"{_FIELD}.token_ids", f"has {len(resume.token_ids)} tokens; allowed by max_tokens and the context: {most}"
        )
    if not resume.token_ids:
        return
    check_ids(model, resume.token_ids, f"{_FIELD}.token_ids")
    ends = {*params.stop_token_ids, *(() if params.ignore_eos else model.manifest.special_tokens.eos)}
    for place, token in enumerate(resume.token_ids):
        if token in ends:
            raise InvalidRequest(
                f"{_FIELD}.token_ids[{place}]", f"is {token}, which ends an answer; allowed: tokens that came of it"
            )
