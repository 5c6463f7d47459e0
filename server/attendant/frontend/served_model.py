"""What takes the calls of one model: its hubs and gates, which calls reach through the table of models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from attendant.batching.client import BatchClient
from attendant.bundle import EncoderTask
from attendant.engine.client import EngineClient
from attendant.frontend.admission import Gate, drain_all
from attendant.frontend.encoding.served import ServedEncoder
from attendant.frontend.generation.hub import ModelHub
from attendant.frontend.speech.served import ServedListener
from attendant.frontend.watchdog import Runs
from attendant.frontend.words import ModelWords
from attendant.metrics import Metrics
from attendant.models.clients import batch_client, engine_clients
from attendant.models.encoders import EncoderPart
from attendant.models.generators import GeneratorPart
from attendant.models.info import EncodingInfo, GenerationInfo
from attendant.models.loaded import LoadedModel
from attendant.settings import AdmissionSettings

OnDeath = Callable[[str, BaseException], None]
"""Takes a model's name, and what ended it."""


class ServedModel:
    """A model in memory, ready to be started. Create it inside the running event loop.

    Args:
        on_death: called on the loop with the model's name and the exception when a thread that runs the model dies.
        admission: who is let in.
        engines, batches: say how the model's engines, and its batches, are reached.

    Attributes:
        maker: of the model's answers, as receipts tell it.
        generation, speech: what calls that generate, and recordings, go to; None if the model takes none.
        encoders: what calls of each task that encodes go to.
        explained: lets calls that explain in.
        runners: all that runs it.
        words: for callers that make tokens themselves; None of a model that takes no text.
    """

    def __init__(
        self,
        model: LoadedModel,
        metrics: Metrics,
        on_death: OnDeath,
        admission: AdmissionSettings | None = None,
        *,
        engines: Callable[[GeneratorPart], Sequence[EngineClient]] = engine_clients,
        batches: Callable[[EncoderPart], BatchClient] = batch_client,
    ) -> None:
        part, admission = model.generator, admission or AdmissionSettings()
        self.name = model.name
        self.maker = model.maker
        self._metrics = metrics
        clients = tuple(engines(part)) if part is not None else ()
        self.generation = ModelHub(part, clients, metrics, on_death, admission) if part is not None else None
        refuses, ends = admission.predict, admission.end_hopeless
        encoders = [encoder.predicting(refuses=refuses, ends=ends) for encoder in model.encoders]
        batched = {encoder.task: (encoder, batches(encoder)) for encoder in encoders}
        self.encoders: dict[EncoderTask, ServedEncoder] = {
            task: ServedEncoder(encoder, client, metrics, on_death, admission)
            for task, (encoder, client) in batched.items()
        }
        self.runners: tuple[Runs, ...] = (*clients, *(client for _, client in batched.values()))
        self.explained = Gate(model.name, what="calls that explain")
        metrics.explain.add_model(model.name)
        metrics.lifecycle.add_model(model.name)
        tokenizers = [] if part is None else [part.text.tokenizer]
        tokenizers += [encoder.tokenizer for encoder in model.encoders if encoder.tokenizer is not None]
        self.words = ModelWords(model.manifest, tokenizers[0]) if tokenizers else None
        self.speech: ServedListener | None = None
        if part is not None and "speech" in model.capabilities:
            self.speech = ServedListener(part, metrics.speech, predict=refuses, end_hopeless=ends)

    @property
    def ready(self) -> bool:
        """Whether nothing of it has died."""
        hubs = [encoder.hub.ready for encoder in self.encoders.values()]
        return all(hubs) and (self.generation is None or self.generation.ready)

    def generation_info(self) -> GenerationInfo | None:
        """What callers may know of what generates."""
        return self.generation.info() if self.generation is not None else None

    def encoding_infos(self) -> tuple[EncodingInfo, ...]:
        """What callers may know of what encodes."""
        return tuple(encoder.info() for encoder in self.encoders.values())

    async def start(self) -> None:
        """Start every engine, then every batch thread.

        Raises:
            Exception: what kept an engine from being prepared.
        """
        if self.generation is not None:
            self._metrics.add_model(self.name, self.generation)
            self._metrics.grammars.add_model(self.name)
            await self.generation.start()
            if (process := self.generation.model.process) is not None:
                self._metrics.processes.add(self.name, process)
            self._metrics.kv_memory(self.name, *self.generation.kv_blocks, self.generation)
        for encoder in self.encoders.values():
            await encoder.hub.start()

    @property
    def num_inside(self) -> int:
        """Sequences, calls that encode or explain, and recordings that are not over."""
        return sum(gate.taken for gate in self._gates())

    def refuse(self, who: str) -> None:
        """Take no new calls from now on; ``who``: shuts down, for the errors."""
        for gate in self._gates():
            gate.refuse(who)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, let running ones finish for ``timeout_s`` seconds, then fail the rest with Draining."""
        hub = self.generation
        calls = [encoder.calls for encoder in self.encoders.values()]
        recordings = [self.speech.gate] if self.speech is not None else []
        generating = [hub.drain(timeout_s)] if hub is not None else []
        await asyncio.gather(*generating, drain_all([*calls, *recordings, self.explained], timeout_s))

    async def close(self) -> None:
        """Stop every engine and batch thread."""
        hubs = [encoder.hub.close() for encoder in self.encoders.values()]
        await asyncio.gather(*hubs, *([self.generation.close()] if self.generation is not None else []))

    def _gates(self) -> list[Gate]:
        gates = [self.explained, *(encoder.calls for encoder in self.encoders.values())]
        gates += [self.generation.gate] if self.generation is not None else []
        return gates + ([self.speech.gate] if self.speech is not None else [])
