"""Takes the spaces out of decoded text that some tokenizers leave before punctuation and English contractions."""

from __future__ import annotations

# As transformers' clean_up_tokenization has them, in its order: each acts on what those before it left.
_CHANGES = (
    *((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'")),
    *((" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")),
)
_BEGINNINGS = tuple({spaced[:length] for spaced, _ in _CHANGES for length in range(1, len(spaced))})
_HELD_CHARACTERS = 16
"""The last characters of a text in which a change may still come of what follows; a few in a row can join."""


def clean_spaces(text: str) -> str:
    """A whole text without these spaces."""
    for spaced, joined in _CHANGES:
        text = text.replace(spaced, joined)
    return text


class SpaceCleaner:
    """:func:`clean_spaces` of a text that comes in pieces: the last ones are held back while they may change."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> str:
        """The text that is certain now."""
        text = self._held + text
        cut = text.find(" ", max(0, len(text) - _HELD_CHARACTERS))
        if cut < 0:
            cut = len(text)
        while text[:cut].endswith(_BEGINNINGS):  # with what follows, a change that begins before it
            cut -= 1
        self._held = text[cut:]
        return clean_spaces(text[:cut])

    def flush(self) -> str:
        """What is held, as it is at the end of the text."""
        text, self._held = clean_spaces(self._held), ""
        return text
