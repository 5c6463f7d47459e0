"""What an application is made of that is more than a constructor away, and what is said when it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from attendant.bundle.capabilities import EncoderTask
from attendant.core.errors import ConfigurationError
from attendant.core.objectives import ENCODING, GENERATING, ObjectivesByModel
from attendant.demo import bundles_or_demo
from attendant.frontend.front_end import FrontEnd
from attendant.metrics import Metrics
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.settings import RecordSettings, ServeSettings, TracesSettings
from attendant.traffic.files import RotatingFile
from attendant.traffic.recorder import Recorder

if TYPE_CHECKING:
    from attendant.traces.tracer import SpanTracer

logger = logging.getLogger("attendant")


def tracer_of(settings: TracesSettings, metrics: Metrics, addresses: Mapping[str, tuple[str, int]]) -> SpanTracer:
    """What follows calls. ``addresses``: of listeners, by protocol, once they are known. Raises ConfigurationError."""
    try:
        from attendant.traces.tracer import SpanTracer
    except ImportError as error:
        raise ConfigurationError(
            f"traces.enabled needs packages that are missing ({error.name}); run: pip install 'attendant[traces]'"
        ) from None
    metrics.traces.add()
    return SpanTracer(settings, metrics.traces, addresses)


def host_and_port(endpoint: str) -> tuple[str, int]:
    """What an endpoint written as host:port consists of."""
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def warn_of_unknown(objectives: ObjectivesByModel, front_end: FrontEnd) -> None:
    """Tell of objectives for models that are not there: they may come later, or be misspelt."""
    for kinds, capabilities, does in (
        (GENERATING, {"generate"}, "generates"),
        (ENCODING, {*get_args(EncoderTask)}, "encodes"),
    ):
        there = {model.name for model in front_end.list_models() if capabilities & set(model.capabilities)}
        for name in sorted(objectives.models(kinds) - there):
            logger.warning(
                "slo.objectives names %r, and no model that %s has that name; there are: %s",
                name,
                does,
                ", ".join(map(repr, sorted(there))) or "none",
            )


def recorder_of(settings: RecordSettings, metrics: Metrics) -> Recorder | None:
    """What keeps calls, if that is set. Raises ConfigurationError."""
    if settings.file is None:
        return None
    recorder = Recorder(
        RotatingFile(settings.file, settings.max_bytes, settings.max_files), settings.share, metrics.recorded.call
    )
    try:
        recorder.start()
    except OSError as error:
        raise ConfigurationError(f"record.file: {settings.file} cannot be written: {error.strerror or error}") from None
    logger.warning(
        "record.file: %.4g %% of all calls are written to %s, with the texts that callers send and get",
        100 * settings.share,
        settings.file,
    )
    return recorder


async def load_named(loader: ModelLoader, settings: ServeSettings, *, beside: int) -> LoadedBundles:
    """Load the bundles that were named; none may be where there is a repository. ``beside``: shares of the memory that
    are kept for it. Raises ConfigurationError."""
    named = bundles_or_demo(settings.bundles, demo=settings.demo, others=settings.model_repository is not None)
    if not named:
        return LoadedBundles(())
    return await asyncio.to_thread(loader.load_all, named, strict=settings.strict, beside=beside)
