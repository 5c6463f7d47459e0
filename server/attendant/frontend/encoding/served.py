"""A model that encodes, as the calls on it see it: its hub, its manifest, and what makes rows of text for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attendant.batching.client import BatchClient
from attendant.bundle import SpectrumInput, TextInput
from attendant.bundle.graph_io import PACKED
from attendant.core.errors import InvalidRequest
from attendant.frontend.admission import Gate
from attendant.frontend.encoding.calls import TextItem
from attendant.frontend.encoding.hub import EncoderHub
from attendant.metrics import Metrics
from attendant.models.encoders import EncoderPart
from attendant.models.info import EncodingInfo
from attendant.models.text import TextCodec
from attendant.settings import AdmissionSettings
from attendant.tasks.frames import TokenRow
from attendant.tasks.masks import MaskFiller
from attendant.tasks.spectra import Spectra, spectra_of
from attendant.tasks.text import TextTokenizer, Tokens
from attendant.tasks.token_rows import RowMaker

LONG_TEXT = 4_000
"""Characters from which on tokenising leaves the event loop: fewer take less than about two milliseconds."""


class TextTools:
    """What makes rows of text for one model, whose tokenizer was checked. ``filler``: for models that fill masks."""

    def __init__(self, model: EncoderPart, spec: TextInput) -> None:
        assert model.tokenizer is not None, f"{model.name} takes text and has no tokenizer"
        names = {found.name for found in model.manifest.graphs["encoder"].inputs}
        self.tokenizer = TextTokenizer(model.tokenizer)
        self.codec = TextCodec(model.tokenizer, None)
        self.rows = RowMaker(model.tokenizer, spec, with_types=PACKED.token_type_ids.name in names)
        self.filler = None if spec.mask_id is None else MaskFiller(model.tokenizer, spec.mask_id)

    def tokenize(
        self, texts: Sequence[str], *, spans: bool = False, limit: int | None = None, from_end: bool = False
    ) -> list[Tokens]:
        """Tokens of texts. ``limit``: how many of each are of interest; None: as many as a row may have. ``from_end``:
        its last ones."""
        return self.tokenizer.tokenize(texts, limit or self.rows.max_tokens, spans=spans, from_end=from_end)

    def prompt_length(self, prompt: str) -> int:
        """How many tokens at the begin of a row are a prompt's, the special ones before it included."""
        ids = self.rows.single(self.tokenize([prompt])[0], truncate=True, field="prompt").ids
        return len(ids) - self.tokenizer.is_special(int(ids[-1]))

    def item_rows(
        self,
        items: Sequence[TextItem],
        *,
        truncate: bool,
        left: bool = False,
        prompt: str = "",
        spans: bool = False,
        most: int | None = None,
    ) -> list[tuple[TokenRow, Tokens | None, Tokens | None]]:
        """A row of each input, and the tokens of its text and of its second text.

        Args:
            left: truncate at the begin, not at the end.
            prompt: put before each text.
            spans: the tokens also say where they stand.
            most: tokens of a row, if that is fewer than the model takes.

        Raises:
            InvalidRequest: an input that is too long, or token ids that do not exist.
        """
        rows = self.rows if most is None else self.rows.shorter(most)
        texts = [prompt + item.text for item in items if item.token_ids is None]
        pairs = [item.pair for item in items if item.token_ids is None and item.pair]
        tokens = self.tokenize([*texts, *pairs], spans=spans, from_end=left)
        firsts, seconds = iter(tokens[: len(texts)]), iter(tokens[len(texts) :])
        made: list[tuple[TokenRow, Tokens | None, Tokens | None]] = []
        for index, item in enumerate(items):
            field = f"inputs[{index}]"
            if item.token_ids is not None:
                row = rows.given(item.token_ids, item.type_ids, truncate=truncate, field=field, left=left)
                made.append((row, None, None))
                continue
            first = next(firsts)
            second = next(seconds) if item.pair else None
            if second is None:
                row = rows.single(first, truncate=truncate, field=field, left=left)
            else:
                row = rows.pair(first, second, truncate=truncate, field=field, left=left)
            made.append((row, first, second))
        return made


class ServedEncoder:
    """A loaded model with its hub, which gets ``batches``. Create it inside the running event loop.

    Attributes:
        project: pooled [n, hidden] float32 to vectors [n, dimensions] float32, or None. It runs a graph, so it is
            nothing for the loop's thread.
        spectra: samples to the spectra that the model reads; None where it reads none.
        calls: lets calls in, whatever they are at: preparing, waiting, running, reading.
    """

    def __init__(
        self,
        model: EncoderPart,
        batches: BatchClient,
        metrics: Metrics,
        on_death: Callable[[str, BaseException], None],
        admission: AdmissionSettings | None = None,
    ) -> None:
        self.manifest = model.manifest
        self.project = model.runner.project if "projection" in model.manifest.graphs else None
        self.hub = EncoderHub(model, batches, metrics, on_death, admission)
        self.calls = Gate(model.name, what="calls")
        spec = model.manifest.input
        self.spectra: Spectra | None = spectra_of(spec) if isinstance(spec, SpectrumInput) else None
        self._text = TextTools(model, spec) if isinstance(spec, TextInput) else None

    def info(self) -> EncodingInfo:
        """What callers may know of it."""
        model = self.hub.model
        return EncodingInfo(
            model.manifest, self.vocab_size, model.limits.max_rows, model.max_rows, model.max_batch_tokens
        )

    @property
    def vocab_size(self) -> int:
        """Ids that it takes; 0 if it does not take text."""
        known: int | None = getattr(self.manifest.input, "vocab_size", None)
        return 0 if self._text is None else known or self._text.tokenizer.vocab_size

    @property
    def reads_text(self) -> bool:
        """Whether it takes text."""
        return self._text is not None

    @property
    def text(self) -> TextTools:
        """The tools of tasks on text."""
        assert self._text is not None, f"{self.manifest.name} does not take text"
        return self._text


def is_long(texts: Sequence[str]) -> bool:
    """Whether tokenising them is for a thread."""
    return sum(map(len, texts)) > LONG_TEXT


def check_some(values: Sequence[object], field: str) -> None:
    """Raises InvalidRequest for an empty batch."""
    if not values:
        raise InvalidRequest(field, "is empty; allowed: at least one")
