"""The stages of a request that generates, of the times in its answer, and what is done in each."""

from __future__ import annotations

from attendant_proto.v1 import generation_pb2 as pb
from attendant_proto.v1 import models_pb2

from attendant.client.explain.views import Stage, Steps

MOST_TOKENS = 40
"""So many tokens of a prompt are shown."""


def stages_of(model: str, text: str, tokens: models_pb2.TokenizeResponse, answer: str, finish: pb.Finish) -> Steps:
    """What the time of an answer went to; together the stages are ``total_s``. ``tokens``: those of the prompt."""
    usage, timings = finish.usage, finish.timings
    computed = usage.prompt_tokens - usage.cached_tokens
    stages = (
        Stage(
            "tokenise",
            timings.tokenize_s,
            f"The text becomes {usage.prompt_tokens} tokens, words and parts of words, each a number in the model's "
            f"vocabulary: {_spelled(tokens)}",
        ),
        Stage(
            "queue",
            timings.first_token_s - timings.prefill_s - timings.tokenize_s,
            "The request waits for its place in a batch with others.",
        ),
        Stage(
            "prefill",
            timings.prefill_s,
            f"{computed} tokens at once (embed: each becomes a vector; position: it is turned by where it stands; "
            "attend: layer by layer it takes in what it looks at). Keys and values are kept. The last vector becomes "
            "probabilities, and the first token of the answer is drawn.",
        ),
        Stage(
            "decode",
            timings.total_s - timings.first_token_s,
            f"{max(usage.completion_tokens - 1, 0)} further tokens, one a step: only the newest one is computed, and "
            "looks at the keys and values that were kept. Tokens become text as they come, whole characters only.",
        ),
    )
    counts = f"{usage.prompt_tokens} tokens of prompt, {usage.cached_tokens} of them known from before; "
    return Steps(model, text, answer, stages, f"{counts}{usage.completion_tokens} tokens of answer.")


def _spelled(tokens: models_pb2.TokenizeResponse) -> str:
    pairs = list(zip(tokens.tokens, tokens.token_ids, strict=True))
    shown = ", ".join(f"{token} ({number})" for token, number in pairs[:MOST_TOKENS])
    return f"{shown} and {len(pairs) - MOST_TOKENS} more." if len(pairs) > MOST_TOKENS else f"{shown}."
