"""Opens ONNX files as ONNX Runtime sessions."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime as ort

from attendant.core.errors import BundleError, ConfigurationError, DeviceOutOfMemory
from attendant.runtime.devices import Device, HostDevice
from attendant.runtime.prepared import PreparedWeights
from attendant.runtime.processors import ModelTurns
from attendant.runtime.run_error import ORT_ERRORS

logger = logging.getLogger(__name__)

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
# Makes a Split of unequal parts, whose kernel copies their sizes from host memory that a replay finds changed.
_NOT_TO_BE_REPLAYED = ("GatherSliceToSplitFusion",)
# The kernels of SkipLayerNormalization take 2 to 13 times as long on a processor as Add and LayerNormalization.
_SLOWER_ON_HOSTS = ("SkipLayerNormFusion",)
_SMALL_WEIGHT = "1024"  # bytes of a weight that a prepared graph has in itself
_NO_MEMORY = ("out of memory", "Failed to allocate memory", "BFCArena")


@dataclass(frozen=True, slots=True)
class Shared:
    """What a model has on the host together with other models.

    Attributes:
        turns: that its runs wait for; None: they wait for nobody.
        prepared: its weights, packed once; None: each session packs its own.
    """

    turns: ModelTurns | None = None
    prepared: PreparedWeights | None = None


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """``threads`` of a run on the host, and whether idle ones spin while a run goes on; ``shared``: with other models,
    if anything. ``cuda_graphs``: runs can be captured."""

    threads: int = 1
    spinning: bool = False
    shared: Shared | None = None
    cuda_graphs: bool = False


class SessionInTurn(ort.InferenceSession):  # type: ignore[misc] # the library is not typed
    """A session whose runs wait until it is their model's turn."""

    def __init__(self, *args: Any, turns: ModelTurns, threads: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns = turns
        self._threads = threads

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """See ONNX Runtime."""
        with self._turns.turn(self._threads):
            return super().run(*args, **kwargs)

    def run_with_iobinding(self, *args: Any, **kwargs: Any) -> None:
        """See ONNX Runtime."""
        with self._turns.turn(self._threads):
            super().run_with_iobinding(*args, **kwargs)


def open_session(path: Path, options: SessionOptions, device: Device | None = None) -> ort.InferenceSession:
    """Open ``path`` on ``device``, by default the host.

    Raises:
        ConfigurationError: this installation of ONNX Runtime has no provider for the device.
        DeviceOutOfMemory: the model does not fit.
        BundleError: ONNX Runtime refuses the file.
    """
    device = device or HostDevice()
    provider = _CUDA if device.kind == "cuda" else _CPU
    check_provider(path, provider)
    prepared = options.shared.prepared if device.kind == "cpu" and options.shared is not None else None
    if prepared is not None and (found := prepared.find(path, partial(_prepare, path, options, device))) is not None:
        settings = _settings(options)
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is what they made
        try:
            return _open(found, settings, options, device)
        except ORT_ERRORS as error:
            logger.warning("%s is served from its bundle, since %s cannot be loaded: %s", path, found, error)
            prepared.drop(path)
    try:
        return _open(path, _settings(options), options, device)
    except ORT_ERRORS as error:
        if device.kind == "cuda" and any(sign in str(error) for sign in _NO_MEMORY):
            needed = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
            raise DeviceOutOfMemory(device.index, needed, *device.free_memory(), f"{path}") from error
        raise BundleError(path, f"ONNX Runtime cannot load it: {error}") from error


def _settings(options: SessionOptions) -> ort.SessionOptions:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = 4  # what goes wrong is raised, and stands in our log, in the form of its lines
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spinning else "0")
    # between its runs others run
    settings.add_session_config_entry("session.force_spinning_stop", "1" if options.spinning else "0")
    settings.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return settings


def _open(path: Path, settings: ort.SessionOptions, options: SessionOptions, device: Device) -> ort.InferenceSession:
    open_it = ort.InferenceSession
    if device.kind == "cpu" and options.shared is not None and options.shared.turns is not None:
        open_it = partial(SessionInTurn, turns=options.shared.turns, threads=options.threads)
    return open_it(
        str(path), settings, providers=[_provider(device, options)], disabled_optimizers=_unwanted(device, options)
    )


def _prepare(path: Path, options: SessionOptions, device: Device, target: Path) -> None:
    """Write the graph as ONNX Runtime has it once it is optimised and its weights are packed; they come beside it."""
    settings = _settings(options)
    settings.optimized_model_filepath = str(target)
    for key, value in {
        "session.optimized_model_external_initializers_file_name": f"{target.name}.data",
        "session.optimized_model_external_initializers_min_size_in_bytes": _SMALL_WEIGHT,
        "session.save_external_prepacked_constant_initializers": "1",
    }.items():
        settings.add_session_config_entry(key, value)
    _open(path, settings, options, device)


def check_provider(path: Path, provider: str) -> None:
    """Make sure that this installation of ONNX Runtime can run the graph at ``path``.

    Raises:
        ConfigurationError: it has no such provider; says what to install.
    """
    available = ort.get_available_providers()
    if provider not in available:
        extra = "gpu" if provider == _CUDA else "cpu"
        raise ConfigurationError(
            f"{path.parent}: the bundle needs ONNX Runtime's {provider}; this installation has "
            f"{', '.join(available)}: pip install 'attendant[{extra}]'"
        )


def _unwanted(device: Device, options: SessionOptions) -> tuple[str, ...]:
    """Graph optimisers of ONNX Runtime that do more harm than good."""
    if device.kind == "cpu":
        return _SLOWER_ON_HOSTS
    return _NOT_TO_BE_REPLAYED if options.cuda_graphs else ()


def _provider(device: Device, options: SessionOptions) -> str | tuple[str, dict[str, str]]:
    if device.kind == "cpu":
        return _CPU
    ort.preload_dlls()  # finds the CUDA libraries that Python packages bring along
    return _CUDA, {
        "device_id": str(device.index),
        "arena_extend_strategy": "kSameAsRequested",  # what is left belongs to the KV cache
        "enable_cuda_graph": "1" if options.cuda_graphs else "0",
    }
