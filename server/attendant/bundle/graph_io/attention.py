"""The ports of graphs that give a model's attention: what they give besides their caches, and what eager ones take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from attendant.bundle.graph_io.encoders import IMAGES, SOUND, SPECTRA
from attendant.bundle.graph_io.port import Per, Port, Size, declared, port
from attendant.core.attention import AttentionKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EagerInputs(Generic[T]):
    """One whole sequence, without a cache. Images, sound and spectra are named as those of other graphs."""

    input_ids: T = port("int64", 1, "num_tokens", means="the tokens; of an encoder-decoder those of the source")
    token_type_ids: T = port("int64", 1, "num_tokens", means="which of two texts a token is of, 0 or 1")
    decoder_input_ids: T = port("int64", 1, "num_answer_tokens", means="the tokens of an encoder-decoder's answer")


def _weights(kind: AttentionKind, per: Per, means: str) -> Port:
    dims = 1, Size("num_heads"), f"num_{kind}_queries", f"num_{kind}_keys"
    return Port(f"attention_{kind}_{{i}}", "float32", dims, f"weights of {means}, each row a softmax", per=per)


EAGER: EagerInputs[Port] = declared(EagerInputs)
EAGER_MEDIA = (IMAGES.pixel_values, SOUND.input_values, SPECTRA.input_features)

WEIGHTS: dict[AttentionKind, Port] = {
    "self": _weights("self", "self_attention", "tokens that look at their own sequence"),
    "encoder": _weights("encoder", "encoder_attention", "a source's tokens that look at the source"),
    "cross": _weights("cross", "cross_attention", "an answer's tokens that look at the source"),
}
HIDDEN = Port("hidden", "float32", ("num_hidden", Size("hidden_size")), "of each token, as the model's head takes it")
