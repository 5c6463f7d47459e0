"""A model in memory: what generates and what encodes of it, whatever it can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attendant.bundle import Capability, EncoderManifest, EncoderTask, Manifest
from attendant.core.errors import BundleError
from attendant.core.fair_order import OrderRules
from attendant.core.receipt import Maker
from attendant.models.encoders import EncoderPart, load_encoder
from attendant.models.generators import GeneratorPart, load_generator
from attendant.models.ledger import Account
from attendant.models.maker import maker_of
from attendant.runtime.session import Shared
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle in memory, ready for its calls.

    Attributes:
        generator: what takes calls that generate, or None.
        encoders: what takes calls that encode, one for each task.
        maker: of its answers, as receipts tell it.
    """

    manifest: Manifest
    maker: Maker
    generator: GeneratorPart | None = None
    encoders: tuple[EncoderPart, ...] = ()

    @classmethod
    def of(cls, *parts: GeneratorPart | EncoderPart, maker: Maker | None = None) -> LoadedModel:
        """A model of these parts, of which one at most generates; it has the first one's manifest and so its name.

        Args:
            maker: of its answers; None: of parts that no bundle was read for.
        """
        generators = [part for part in parts if isinstance(part, GeneratorPart)]
        encoders = tuple(part for part in parts if isinstance(part, EncoderPart))
        assert len(generators) <= 1, "one engine has the name"
        assert len({part.task for part in encoders}) == len(encoders), "one encoder has the task"
        manifest = parts[0].manifest
        return cls(manifest, maker or maker_of(manifest), next(iter(generators), None), encoders)

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Which version of the model it is."""
        return self.manifest.version

    @property
    def current(self) -> bool:
        """Calls that name no version may go to it."""
        return True

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """All that its parts can do, each once."""
        parts = ([self.generator] if self.generator is not None else []) + list(self.encoders)
        return tuple(dict.fromkeys(found for part in parts for found in part.capabilities))

    def encoder(self, task: EncoderTask) -> EncoderPart:
        """The part for ``task``, which it has: see :attr:`capabilities`."""
        return next(part for part in self.encoders if part.task == task)

    def refusal(self) -> None:
        """It takes calls."""


def load_model(  # noqa: PLR0913 - all that a model is loaded with, each by name
    path: Path,
    manifest: Manifest,
    settings: EngineSettings,
    encoder: EncoderSettings,
    gpu: GpuSettings,
    *,
    account: Account,
    shared: Shared | None = None,
    verify: bool = True,
    progress: Callable[[str], None] = lambda line: None,
    order: OrderRules | None = None,
) -> LoadedModel:
    """Load one bundle and run it once, so that the first call pays for nothing. Blocking: seconds.

    Args:
        settings: of models that generate. encoder: of those that encode.
        account: of the memory that models hold; what this one takes is taken down, unless it cannot be loaded.
        shared: what it has of the processors, and of weights, together with others.
        verify: check each file's SHA-256.
        progress: takes a line for each stage.
        order: of those who wait.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    if beyond := set(manifest.capabilities).difference((*manifest.own_capabilities, "attention")):
        raise BundleError(path, f"can do more than this server knows to load: {', '.join(sorted(beyond))}")
    part: GeneratorPart | EncoderPart
    try:
        if isinstance(manifest, EncoderManifest):
            first = gpu.devices[0] if gpu.devices else 0
            part = load_encoder(
                path,
                manifest,
                encoder,
                gpu_index=first,
                account=account,
                shared=shared,
                verify=verify,
                progress=progress,
                order=order,
            )
        else:
            part = load_generator(
                path,
                manifest,
                settings,
                account=account,
                gpu=gpu,
                shared=shared,
                verify=verify,
                progress=progress,
                order=order,
            )
    except BaseException:
        account.ledger.release(account.holder)
        raise
    account.ledger.settle(account.holder)
    threads = encoder.threads if isinstance(part, EncoderPart) else settings.threads
    return LoadedModel.of(part, maker=maker_of(manifest, path, threads))
