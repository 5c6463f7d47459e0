"""What callers may know of a loaded model."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from attendant.bundle import Capability, EncoderManifest, EncoderTask, GeneratorManifest, Manifest
from attendant.core.answer_formats import NO_FORMATS, AnswerFormats
from attendant.core.receipt import Maker


class ModelState(enum.Enum):
    """The state that a model of a server is in."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


DEAD = "its engine has stopped after an internal error"
"""Why a model takes no calls that was loaded and has failed."""


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What at least one of a model's chat templates looks at: tools, documents, parts of contents, and further
    variables by name."""

    tools: bool
    documents: bool
    parts: bool
    variables: tuple[str, ...]

    @property
    def thinking(self) -> bool:
        """Whether a variable says if, or how much, the model thinks: ``enable_thinking``, ``reasoning_effort``."""
        return any("think" in name or "reasoning" in name for name in self.variables)


@dataclass(frozen=True, slots=True)
class GenerationInfo:
    """What takes calls that generate: its manifest, and the limits that this server serves it with.

    Attributes:
        context_length: tokens of prompt and answer together that this server accepts.
        max_running: sequences that run together.
        max_requests: sequences that the model holds at most, running and waiting.
        chat: what its chat templates look at; None if it has none.
        formats: how it writes tool calls and reasoning.
    """

    manifest: GeneratorManifest
    context_length: int
    max_running: int
    max_requests: int
    chat: ChatFacts | None = None
    formats: AnswerFormats = NO_FORMATS


@dataclass(frozen=True, slots=True)
class EncodingInfo:
    """What takes calls of one task that encodes: its manifest, and the limits that this server serves it with.

    Attributes:
        vocab_size: of models that take text; 0 for others.
        max_running: rows that run together.
        max_requests: rows that the model holds at most, running and waiting.
        max_batch_tokens: of rows that run together.
    """

    manifest: EncoderManifest
    vocab_size: int
    max_running: int
    max_requests: int
    max_batch_tokens: int = 0

    @property
    def task(self) -> EncoderTask:
        """Which calls it takes."""
        return self.manifest.task


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """What a route leads to.

    Attributes:
        model: a model, ``model@version``, or a route.
        role: ``target``, ``shadow``, ``member`` or ``step``. step: its name.
        cause: why it takes no calls; empty if it does.
    """

    model: str
    role: str
    weight: float = 1.0
    step: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A name that callers use as a model, and what answers them.

    Attributes:
        cause: why it takes no calls; empty if it does.
        fuses: several models make an answer.
    """

    name: str
    kind: str
    targets: tuple[RouteTarget, ...]
    cause: str = ""
    fuses: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One loaded model: the manifest of its bundle, and a part for everything that it does.

    Attributes:
        state: it takes calls if it is ready; it has failed if an engine or a batch thread of it has died.
        generation: None for a model that does not generate, or is being loaded.
        encodings: one for each task that encodes.
        maker: of its answers, as receipts tell it; None while it is not in memory.
        current: calls that name no version go to it.
        route: of a route, which has the manifest of a model that it leads to; None for a model.
    """

    manifest: Manifest
    capabilities: tuple[Capability, ...]
    state: ModelState
    generation: GenerationInfo | None = None
    encodings: tuple[EncodingInfo, ...] = ()
    maker: Maker | None = None
    current: bool = True
    route: RouteInfo | None = None

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name if self.route is None else self.route.name

    @property
    def version(self) -> str:
        """Which version of the model it is; of an answer of several models' none."""
        return "" if self.route is not None and self.route.fuses else self.manifest.version

    @property
    def ready(self) -> bool:
        """Whether it takes calls."""
        return self.state is ModelState.READY

    @property
    def cause(self) -> str:
        """Why it has failed, or a route takes no calls; else empty."""
        if self.route is not None:
            return self.route.cause
        return DEAD if self.state is ModelState.FAILED else ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a text: its id, the vocabulary's spelling, whether the tokenizer put it around the text, and the
    code points that it stands for."""

    token_id: int
    token: str
    special: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids of a text and the vocabulary's spelling of each."""

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
