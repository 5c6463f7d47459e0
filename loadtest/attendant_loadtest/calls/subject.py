"""What calls are about: the models that the server has, and texts, images and sound that are new each time."""

from __future__ import annotations

import io
import random
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from attendant_proto.v1 import models_pb2
from PIL import Image

from attendant_loadtest.workloads import WORDS

RATE = 16_000
"""Of sound, in Hz."""

GENERATES = "continue"
READS = "continue|embed|classify"
"""Has a tokenizer that anybody may ask."""
RELOAD = "reload"
"""Is the model that goes and comes back."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a server.

    Attributes:
        capabilities: what each can do, by name.
        reloaded: the one that users unload and load again, or "".
    """

    capabilities: dict[str, frozenset[str]]
    reloaded: str = ""

    @classmethod
    def of(cls, listed: Iterable[models_pb2.Model], only: Sequence[str], reloaded: str) -> Models:
        """Those that take calls; routes are left out. ``only``: if there are any, no others."""
        ready = [m for m in listed if m.state == models_pb2.MODEL_STATE_READY and not m.HasField("route") and m.current]
        wanted = [m for m in ready if m.name != reloaded and (not only or m.name in only)]
        return cls({m.name: frozenset((*m.capabilities, *_gives(m))) for m in wanted}, reloaded)

    def able(self, needs: str) -> str | None:
        """The first model that can do what a call needs: capabilities joined by ``+``, alternatives by ``|``; "" needs
        none. None if there is no such model."""
        if not needs:
            return ""
        if needs == RELOAD:
            return self.reloaded or None
        for alternative in needs.split("|"):
            wanted = frozenset(alternative.split("+"))
            for name, able in self.capabilities.items():
                if wanted <= able:
                    return name
        return None


def _gives(model: models_pb2.Model) -> Iterable[str]:
    if model.HasField("attention"):
        yield "attention"
    if model.generation.HasField("chat"):
        yield "chat"


class Subject:
    """Makes what is asked about. ``model`` is the one that the call goes to.

    Args:
        length: of texts, in words. max_tokens: of answers. mask: what stands for a gap. sound_s: of recordings.
    """

    def __init__(self, rng: random.Random, length: int, max_tokens: int, mask: str, sound_s: float) -> None:
        self.rng = rng
        self.max_tokens = max_tokens
        self.model = ""
        self._length, self._mask, self._sound_s = length, mask, sound_s

    def text(self) -> str:
        """Words that mean nothing."""
        return " ".join(self.rng.choices(WORDS, k=self._length))

    def texts(self) -> list[str]:
        """Two."""
        return [self.text(), self.text()]

    def gap(self) -> str:
        """A text with a mask in it."""
        return f"{self._mask} {self.text()}"

    def ids(self) -> list[int]:
        """Four tokens that any vocabulary has."""
        return self.rng.choices(range(16, 100), k=4)

    def image(self) -> bytes:
        """A PNG file of one colour."""
        return _file(lambda to: Image.new("RGB", (32, 32), tuple(self.rng.randbytes(3))).save(to, "PNG"))

    def pcm(self, share: float = 1.0) -> bytes:
        """Noise, of a share of a recording's length: signed 16 bits, little endian."""
        return self.rng.randbytes(2 * int(share * self._sound_s * RATE))

    def wav(self) -> bytes:
        """The same as a file."""
        return _file(self._write)

    def _write(self, to: io.BytesIO) -> None:
        with wave.open(to, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.pcm())


def _file(write: Callable[[io.BytesIO], None]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()
