"""Loads a bundle that encodes: its tokenizer, its graphs, and what a batch of its rows may be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from attendant.batching.policy import GPU_PACKED_VIEW, NEAR, PACKED_VIEW, PADDED_VIEW, BatchLimits
from attendant.bundle import (
    AudioInput,
    Capability,
    EncoderManifest,
    EncoderTask,
    ImageInput,
    PatchInput,
    SpectrumInput,
    TextInput,
    check_graph_files,
    verify_files,
)
from attendant.core.attention import AttentionModel
from attendant.core.encoding import Row
from attendant.core.errors import BundleError, ConfigurationError
from attendant.core.fair_order import OrderRules
from attendant.models.attention import attention_of
from attendant.models.encoder_check import check_encoder, probe_row
from attendant.models.ledger import Account, Memory
from attendant.models.memory import available_processors
from attendant.models.text import load_tokenizer
from attendant.runtime.devices import Device, open_device
from attendant.runtime.encoder_runner import EncoderRunner
from attendant.runtime.session import SessionOptions, Shared, open_session
from attendant.settings import EncoderSettings
from attendant.tasks.token_rows import RowMaker

MAX_BATCH_TOKENS, MAX_BATCH_SIZE = 2048, 64
"""On a CPU, unless set otherwise."""

GPU_BATCH_TOKENS, GPU_BATCH_SIZE = 16_384, 256
"""The same on a GPU."""

IMAGE_PATCH = 16 * 16
"""Pixels of an image that count as a token."""


@dataclass(frozen=True, slots=True)
class EncoderPart:
    """What encodes of a model in memory, for one task.

    Attributes:
        path: the bundle's folder.
        tokenizer: for tasks that take text, with truncation and padding turned off; None for others.
        max_batch_tokens: of a batch together. ``limits``: the same and more, in the units of the model's rows.
        max_rows: rows that run or wait, together.
        max_queue_size: of rows that run or wait, in the units of the model's rows, before one more call; None: any.
        probe: a row that nobody sent, which the model has been run with.
        attention: gives what its tokens look at; None if the bundle has no graph for that.
    """

    manifest: EncoderManifest
    path: Path
    tokenizer: Tokenizer | None
    runner: EncoderRunner
    limits: BatchLimits
    max_batch_tokens: int
    max_rows: int
    probe: Row | None = None
    attention: AttentionModel | None = None
    max_queue_size: int | None = None

    @property
    def name(self) -> str:
        """What callers call it."""
        return self.manifest.name

    @property
    def task(self) -> EncoderTask:
        """What it is for."""
        return self.manifest.task

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can do."""
        return (self.task,) if self.attention is None else (self.task, "attention")

    def predicting(self, *, refuses: bool, ends: bool) -> EncoderPart:
        """The same, with rows refused, and ended, by when they would be done, or not."""
        return replace(self, limits=replace(self.limits, predict=refuses, end_hopeless=ends))


def load_encoder(  # noqa: PLR0913 - all that a model is loaded with, each by name
    path: Path,
    manifest: EncoderManifest,
    settings: EncoderSettings,
    *,
    gpu_index: int = 0,
    account: Account | None = None,
    shared: Shared | None = None,
    verify: bool = True,
    progress: Callable[[str], None] = lambda line: None,
    order: OrderRules | None = None,
) -> EncoderPart:
    """Load one bundle and run it once, so that the first row pays for nothing.

    Args:
        gpu_index: of the GPU that a bundle of target cuda runs on.
        account: takes down what it takes of a GPU; None: nobody asks.
        shared: what it has of the processors, and of weights, together with others.
        verify: check each file's SHA-256.
        verify: check each file's SHA-256.
        order: of rows that wait; None: the default.

    Raises:
        BundleError, ConfigurationError: naming the file or setting and the cause.
    """
    started = time.monotonic()
    if verify:
        progress(f"{manifest.name}: checking {sum(f.size for f in manifest.files.values()) / 1e6:,.1f} MB of files")
        verify_files(path, manifest)
    check_graph_files(path, manifest)
    tokens, limits = batch_limits(manifest, settings)
    queued = settings.max_queue_tokens
    device = open_device(manifest.target, gpu_index)
    free_before, _ = device.free_memory()
    threads = settings.threads or available_processors()
    where = f"GPU {gpu_index}" if device.kind == "cuda" else f"{threads} threads"
    progress(f"{manifest.name}: loading {manifest.architecture} {manifest.precision} for {manifest.task}, {where}")
    tokenizer = _tokenizer(path, manifest.input) if isinstance(manifest.input, TextInput) else None
    runner = _open(path, manifest, SessionOptions(threads, settings.spinning, shared), device)
    check_encoder(path, manifest, runner, limits, device)
    if account is not None and device.kind == "cuda":
        _take_down(account, device, free_before)
    progress(
        f"{manifest.name}: ready in {time.monotonic() - started:.1f} s; {limits.layout} batches of up to "
        f"{tokens:,} tokens and {limits.max_rows} rows"
    )
    return EncoderPart(
        manifest=manifest,
        path=path,
        tokenizer=tokenizer,
        runner=runner,
        limits=replace(limits, order=order or OrderRules()),
        max_batch_tokens=tokens,
        max_rows=limits.max_rows + settings.max_queue,
        max_queue_size=None if queued is None else limits.max_size + _in_row_sizes(manifest, queued),
        probe=probe_row(manifest),
        attention=attention_of(path, manifest, threads, spinning=settings.spinning, shared=shared),
    )


def _take_down(account: Account, device: Device, free_before: int) -> None:
    """What the model has taken of a GPU: weights, and what its largest batch needs."""
    free, total = device.free_memory()
    account.grant(Memory(f"GPU {device.index}", total, total), free_before - free)


def _tokenizer(path: Path, spec: TextInput) -> Tokenizer:
    tokenizer = load_tokenizer(path)
    try:
        RowMaker(tokenizer, spec, with_types=False)
    except ValueError as error:
        raise BundleError(path, str(error)) from error
    return tokenizer


def batch_limits(manifest: EncoderManifest, settings: EncoderSettings) -> tuple[int, BatchLimits]:
    """Tokens of a batch, and what it may be, counted as the rows of the model are.

    Raises:
        ConfigurationError: a batch of the preferred size would not be allowed.
    """
    on_gpu = manifest.target == "cuda"
    tokens = settings.max_batch_tokens or (GPU_BATCH_TOKENS if on_gpu else MAX_BATCH_TOKENS)
    max_rows = settings.max_batch_size or (GPU_BATCH_SIZE if on_gpu else MAX_BATCH_SIZE)
    try:
        settings.check_preferred(max_rows)
    except ValueError as error:
        raise ConfigurationError(f"encoder settings: {error}") from None
    packed = GPU_PACKED_VIEW if on_gpu else PACKED_VIEW
    max_size = _in_row_sizes(manifest, tokens)
    num_near, part = NEAR
    limits = BatchLimits(
        layout=manifest.layout,
        max_size=max_size,
        max_rows=max_rows,
        preferred_rows=settings.preferred_batch_size,
        max_delay_ns=round(settings.max_queue_delay_s * 1e9),
        view=packed if manifest.layout == "packed" else PADDED_VIEW,
        near=None if on_gpu else (num_near, max_size // part),
    )
    return tokens, limits


def _in_row_sizes(manifest: EncoderManifest, tokens: int) -> int:
    """As much of the model's rows as ``tokens`` tokens are."""
    match manifest.input:
        case ImageInput(height=height, width=width):
            return max(tokens * IMAGE_PATCH // (height * width), 1)
        case PatchInput(max_patches=most):
            return max(tokens // most, 1)
        case SpectrumInput(num_frames=frames):
            return max(tokens // frames, 1)
        case AudioInput(samples_per_frame=step):
            return tokens * (manifest.ctc.samples_per_frame if manifest.ctc else step)
        case TextInput():
            return tokens


def _open(path: Path, manifest: EncoderManifest, options: SessionOptions, device: Device) -> EncoderRunner:
    graphs = manifest.graphs
    if "encoder" not in graphs:
        raise BundleError(path, f"has no graph 'encoder', only {sorted(graphs)}")
    projection = None
    if "projection" in graphs:  # small: it leaves the processors to others, and waits for nobody
        projection = open_session(path / graphs["projection"].file, SessionOptions(threads=1), device)
    return EncoderRunner(open_session(path / graphs["encoder"].file, options, device), manifest, projection)
