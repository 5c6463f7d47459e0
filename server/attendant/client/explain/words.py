"""What is said in every drawing: names of tokens, captions, and which weights are the largest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attendant.client.explain.views import Attention, Attribution, Floats, Similarity, Steps, Token, View
from attendant.client.terminal import printable

NOT_AN_EXPLANATION = (
    "Attention is where the model looked, not why it answered. --method occlusion leaves parts out and says what "
    "that did to the answer."
)
SCALE = "The strongest shade is the largest weight that is shown; numbers are shares of all weights of a row."
_SIGNS = str.maketrans({"\n": "⏎", "\t": "⇥", "\r": "␍"})


def name_of(token: Token) -> str:
    """A token in one line, with what is not seen made visible."""
    return printable(token.text.translate(_SIGNS)) or "∅"


def percent(weight: float) -> str:
    """A weight as a share of a hundred."""
    return "<1 %" if 0 < weight < 0.005 else f"{100 * weight:.0f} %"


def quoted(text: str) -> str:
    """A token's text between quotes, so that its spaces are seen."""
    return f"“{text}”"


def largest(weights: Floats, count: int) -> list[int]:
    """Numbers of the largest weights ([keys] float32) that are above 0, largest first."""
    order = sorted(range(len(weights)), key=lambda key: (-float(weights[key]), key))
    return [key for key in order[:count] if weights[key] > 0]


def looked_at(view: Attention, weights: Floats, count: int = 3) -> str:
    """The keys with the largest weights, in words."""
    parts = [f"{percent(float(weights[key]))} {key_name(view, key)}" for key in largest(weights, count)]
    return ", ".join(parts) or "nothing"


def key_name(view: Attention, key: int) -> str:
    """What a column is called: a token in quotes, a patch by row and column, a frame by its time."""
    if view.grid is not None and key >= view.grid.num_prefix:
        row, column = divmod(key - view.grid.num_prefix, view.grid.columns)
        return f"row {row + 1}, column {column + 1}"
    if is_timed(view):
        return f"{key * view.frame_s:.2f} s"
    return quoted(name_of(view.keys[key]))


def is_timed(view: Attention) -> bool:
    """Its keys are frames of a recording; an answer's own tokens are not."""
    return view.frame_s > 0 and (view.kind != "self" or not view.answer)


def title_of(view: View) -> str:
    """What is shown, in a line."""
    match view:
        case Attention():
            return f"{view.model}: what {_who(view)} looked at{' in its source' if view.kind == 'cross' else ''}"
        case Attribution():
            of = f"the answer {quoted(printable(view.answer.strip()))}" if view.answer else "the answer"
            if view.method == "rollout":
                return f"{view.model}: where attention from {of} came from (rollout)"
            return f"{view.model}: what {of} hung on"
        case Similarity():
            names = dict.fromkeys(word for word in view.words if word)
            return f"{view.model}: how alike {', '.join(map(quoted, names)) or 'the texts'} is in each context"
        case Steps():
            return f"{view.model}: what the time of one request went to"


def _who(view: Attention) -> str:
    if view.grid is not None:
        return "the model"
    if view.kind == "encoder":
        return "the source"
    return "the answer" if view.answer or view.kind == "cross" else "each token"


def caption(view: Attention) -> list[str]:
    """What has to be known to read the drawing, sentence by sentence."""
    found = [f"{_reduced(view)} (the model has {view.num_layers} layers with {view.num_heads} heads each)."]
    if view.without_sink and view.keys:
        first = f", {quoted(name_of(view.keys[0]))}," if view.keys[0].text else ""
        found.append(
            f"The first token{first} is taken out, and the other weights of a row sum up to 1: attention that has "
            "nowhere to go ends up there. --with-sink keeps it."
        )
    return found


def _reduced(view: Attention) -> str:
    match view.reduction:
        case "mean":
            return f"Mean of {view.asked}"
        case "max":
            return f"Largest weight among {view.asked}"
        case "rollout":
            return "Attention rollout through all layers"
        case "mean-heads":
            return (
                f"Mean of the heads of each layer ({view.asked})" if view.asked_heads else "Mean of each layer's heads"
            )
        case "max-heads":
            return f"Largest weight among the heads of each layer ({view.asked})"
    return "Single heads"


def pieces(tokens: Sequence[Token], text: str) -> Iterator[tuple[str, int | None]]:
    """The tokens as a text that can be read: each piece with the number of its token, or None for what stands between
    two."""
    place = 0
    for number, token in enumerate(tokens):
        if text and token.end > token.start >= place:
            if token.start > place:
                yield text[place : token.start], None
            yield text[token.start : token.end], number
            place = token.end
        else:
            yield token.text or "∅", number


def attribution_caption(view: Attribution) -> list[str]:
    """What has to be known to read the numbers."""
    if view.method == "rollout":
        return ["Numbers are shares of the attention that reached the answer through all layers."]
    return [
        "Each part is left out in turn. Above 0: without it the answer is less probable, so it spoke for the answer; "
        "below 0: it spoke against. Numbers are natural logarithms of the ratio of the two probabilities.",
        f"Log-probability of the answer with the whole input: {view.logprob:.2f}.",
    ]


def signed(value: float) -> str:
    """A number with its sign."""
    return f"{value:+.2f}"


SIMILARITY_CAPTION = (
    "Cosines between what the word became in two contexts (mean of its tokens in the last layer): 1 is the same."
)
