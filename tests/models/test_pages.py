"""Loading bundles with pages: what has to be there, how the memory of a device is shared out, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import GeneratorManifest, KVLayer, Target, TextSource, read_manifest
from attendant.core.errors import AttendantError, ConfigurationError, DeviceOutOfMemory
from attendant.models.generators import GeneratorPart, load_generator
from attendant.models.ledger import Memory, MemoryLedger, Share
from attendant.models.loader import ModelLoader
from attendant.models.page_memory import HOST_BLOCK_SIZE, PageBudget, block_size, check_sources, plan_blocks
from attendant.models.pages import HOST_NUM_SEQS, MAX_NUM_SEQS
from attendant.runtime import devices
from attendant.runtime.devices import CudaDevice, HostDevice
from attendant.settings import EngineSettings, GpuSettings

from tests.bundles import cuda_bundle
from tests.runtime.test_devices import FakeDriver
from tests.synthetic import make_synthetic_bundle

CONTEXT = 256  # of the bundle


def load(bundle: Path, gpu: GpuSettings | None = None, **settings: Any) -> GeneratorPart:
    chosen = EngineSettings(**{"threads": 1, "spinning": False} | settings)
    return load_generator(bundle, read_manifest(bundle), chosen, gpu=gpu, verify=False)


@pytest.fixture(scope="module")
def for_gpus(paged_bundle: Path) -> Path:
    return cuda_bundle(paged_bundle)


@pytest.fixture(scope="module")
def no_gpu() -> None:
    try:
        CudaDevice(0)
    except AttendantError:
        return
    pytest.skip("this machine has a GPU")


class TestDevices:
    def test_a_bundle_for_gpus_says_what_this_machine_lacks(self, for_gpus: Path, no_gpu: None) -> None:
        with pytest.raises(ConfigurationError) as caught:
            load(for_gpus)
        lacking = r"target cuda needs the package cuda-bindings .*pip install|there is no NVIDIA driver on this machine"
        assert re.search(lacking, str(caught.value))

    def test_a_gpu_needs_an_onnx_runtime_for_it(self, for_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The package for processors is installed, and a driver is there."""
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has it")
        monkeypatch.setattr(devices, "_driver", FakeDriver)
        with pytest.raises(ConfigurationError, match=r"needs ONNX Runtime's CUDAExecutionProvider.*attendant\[gpu\]"):
            load(for_gpus)

    def test_a_gpu_that_is_not_there_is_refused_before_the_model_is_read(
        self, for_gpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(devices, "_driver", FakeDriver)
        with pytest.raises(ConfigurationError, match=r"gpu\.devices names GPU 3; this machine shows 1"):
            load(for_gpus, GpuSettings(devices=(3,)))

    def test_gpus_that_no_bundle_is_for_are_refused(self, tmp_path: Path) -> None:
        slots = make_synthetic_bundle(tmp_path / "slots")
        loader = ModelLoader(EngineSettings(), gpu=GpuSettings(devices=(0,)), verify=False, progress=print)
        with pytest.raises(ConfigurationError, match=r"gpu\.devices names GPU 0.*target 'cpu'.*--target cuda"):
            loader.load_all([slots])

    def test_each_device_has_an_engine_of_its_own(self, paged_bundle: Path) -> None:
        model = load(paged_bundle, GpuSettings(devices=(0, 1)), max_num_seqs=4)
        assert len(set(model.engines)) == 2
        assert model.max_running == 8


class TestLimits:
    def test_a_reference_has_blocks_for_two_contexts(self, paged_bundle: Path) -> None:
        model = load(paged_bundle)
        pool = model.engines[0]._scheduler.pool
        assert (model.context_length, model.max_running) == (CONTEXT, HOST_NUM_SEQS)
        assert pool.capacity_tokens == 2 * CONTEXT
        assert pool._block_size == HOST_BLOCK_SIZE  # type: ignore[attr-defined]

    def test_sequences_are_as_many_as_asked_for(self, paged_bundle: Path) -> None:
        assert load(paged_bundle).max_running == HOST_NUM_SEQS
        assert load(paged_bundle, max_num_seqs=MAX_NUM_SEQS + 1).max_running == MAX_NUM_SEQS + 1

    def test_a_context_beyond_the_models_is_refused(self, paged_bundle: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"max_context_length is 257.*256 tokens at most"):
            load(paged_bundle, max_context_length=CONTEXT + 1)

    def test_a_budget_without_room_for_prompts_is_refused(self, paged_bundle: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"max_num_batched_tokens is 18; .* at least 19"):
            load(paged_bundle, max_num_batched_tokens=18)

    @pytest.mark.parametrize(
        ("max_num_seqs", "budget"), [(1, None), (1, 1000), (3, 3 * CONTEXT - 1), (2, 2 * CONTEXT), (4, 9)]
    )
    def test_a_step_may_hold_more_tokens_than_its_sequences(
        self, paged_bundle: Path, max_num_seqs: int, budget: int | None
    ) -> None:
        model = load(paged_bundle, max_num_seqs=max_num_seqs, max_num_batched_tokens=budget)
        assert model.context_length == CONTEXT

    def test_too_few_blocks_are_refused_with_what_would_do(self, paged_bundle: Path) -> None:
        gpu = GpuSettings(num_blocks=9)
        with pytest.raises(ConfigurationError, match=r"9 blocks of 16 positions.*256 tokens needs 17") as caught:
            load(paged_bundle, gpu)
        advice = re.search(r"max_context_length to at most (\d+)", str(caught.value))
        assert advice is not None
        assert load(paged_bundle, gpu, max_context_length=int(advice[1])).context_length == 128
        assert load(paged_bundle, GpuSettings(num_blocks=17)).context_length == CONTEXT


LAYERS = (KVLayer(num_kv_heads=2, head_size=64, dtype="float16"), KVLayer(num_kv_heads=2, head_size=32, dtype="int8"))


def manifest_of(bundle: Path, target: Target = "cuda", layers: tuple[KVLayer, ...] = LAYERS) -> GeneratorManifest:
    """The bundle's with caches of other shapes, and a context of 2048."""
    return read_manifest(bundle).model_copy(
        update={"target": target, "kv_layers": layers, "context_length": 2048, "name": "big"}
    )


class TestBlockSize:
    @pytest.mark.parametrize(("head_sizes", "size"), [((64,), 256), ((128, 32), 256), ((128,), 128), ((80, 256), 128)])
    def test_a_gpus_default_fits_the_tiles_of_its_kernels(
        self, paged_bundle: Path, head_sizes: tuple[int, ...], size: int
    ) -> None:
        layers = tuple(KVLayer(num_kv_heads=1, head_size=head, dtype="float16") for head in head_sizes)
        assert block_size(manifest_of(paged_bundle, layers=layers), GpuSettings()) == size

    @pytest.mark.parametrize("size", [1, 8, 24, 100, 192])
    def test_a_size_the_operator_does_not_take_is_refused(self, paged_bundle: Path, size: int) -> None:
        with pytest.raises(ConfigurationError, match=rf"block_size is {size}; allowed: powers of two from 16"):
            block_size(manifest_of(paged_bundle), GpuSettings(block_size=size))

    @pytest.mark.parametrize("size", [16, 32, 512])
    def test_powers_of_two_are_taken(self, paged_bundle: Path, size: int) -> None:
        assert block_size(manifest_of(paged_bundle), GpuSettings(block_size=size)) == size

    def test_blocks_of_a_processor_are_whole_words(self, paged_bundle: Path) -> None:
        odd = (KVLayer(num_kv_heads=1, head_size=12, dtype="int8"),)
        manifest = manifest_of(paged_bundle, "cpu", odd)
        assert block_size(manifest, GpuSettings(block_size=6)) == 6
        with pytest.raises(ConfigurationError, match=r"block_size is 3; allowed for model 'big': multiples of 8"):
            block_size(manifest, GpuSettings(block_size=3))


CROSS = (KVLayer(num_kv_heads=2, head_size=64, dtype="float16"),)  # 512 bytes a position


def answering(bundle: Path, **changes: Any) -> GeneratorManifest:
    """An encoder-decoder's, with sources of up to 1000 positions."""
    source = TextSource(max_length=1000, layout="packed")
    return manifest_of(bundle).model_copy(update={"encoder_input": source, "cross_layers": CROSS, **changes})


class TestSources:
    def test_blocks_fit_the_tiles_of_both_kinds_of_attention(self, paged_bundle: Path) -> None:
        wide = (KVLayer(num_kv_heads=1, head_size=128, dtype="float16"),)
        assert block_size(answering(paged_bundle, kv_layers=wide, cross_layers=wide), GpuSettings()) == 128
        assert block_size(answering(paged_bundle, kv_layers=wide), GpuSettings()) == 256

    def test_sources_that_leave_nothing_to_the_cache_are_refused(self, paged_bundle: Path) -> None:
        manifest = answering(paged_bundle)
        gpu = DeviceMemory(TOTAL, TOTAL)  # nine million bytes of ten are the models'
        check_sources(manifest, GpuSettings(), gpu, 256, 17, share(1))  # of 1024 positions each
        with pytest.raises(ConfigurationError, match=r"18 sources takes 9,437,184.*lower engine\.max_num_seqs"):
            check_sources(manifest, GpuSettings(), gpu, 256, 18, share(1))
        with pytest.raises(ConfigurationError, match=r"'big' in the memory of GPU 2 is 4,500,000 bytes"):
            check_sources(manifest, GpuSettings(), gpu, 256, 17, share(2))
        check_sources(manifest_of(paged_bundle), GpuSettings(), gpu, 256, 1000, share(1))
        check_sources(manifest, GpuSettings(), HostDevice(), 16, 1000, share(1))


@dataclass
class DeviceMemory(HostDevice):
    """A GPU as far as its memory goes."""

    free: int
    total: int
    kind = "cuda"
    index = 2

    def free_memory(self) -> tuple[int, int]:
        return self.free, self.total


TOTAL = 10_000_000


def share(num_models: int, fraction: float = 0.9) -> Share:
    """What the first of so many models gets of a GPU, of which they may take a part together."""
    ledger = MemoryLedger()
    ledger.expect(["big", *(f"other{i}" for i in range(num_models - 1))])
    return ledger.share(Memory("GPU 2", TOTAL, int(TOTAL * fraction)), "big")


SIZE = 16
BLOCK = 2 * SIZE * 2 * (64 * 2 + 32)  # bytes: keys and values of two heads in both layers


class TestMemory:
    def plan(
        self,
        bundle: Path,
        *,
        free: int,
        before: int = TOTAL,
        num_models: int = 1,
        settings: EngineSettings | None = None,
        **gpu: Any,
    ) -> PageBudget:
        chosen = GpuSettings(**gpu)
        return plan_blocks(
            manifest_of(bundle),
            settings or EngineSettings(),
            chosen,
            DeviceMemory(free, TOTAL),
            before,
            SIZE,
            share(num_models, chosen.memory_fraction),
        )

    @pytest.mark.parametrize(
        ("budget", "figures"),
        [
            (8_000_000, {"free": TOTAL - 1_000_000}),  # nine tenths less what the model took
            (4_000_000, {"free": TOTAL - 1_000_000, "memory_fraction": 0.5}),
            (3_500_000, {"free": TOTAL - 1_000_000, "num_models": 2}),  # half of nine tenths, less its own
            (3_500_000, {"free": 4_600_000, "before": 5_600_000, "num_models": 2}),  # the other one has taken its half
            (
                3_000_000,
                {"free": 4_000_000, "before": 5_000_000},
            ),  # others use the GPU: a tenth stays free all the same
        ],
    )
    def test_the_cache_gets_what_the_fraction_leaves(
        self, paged_bundle: Path, budget: int, figures: dict[str, float]
    ) -> None:
        found = self.plan(paged_bundle, **figures)  # type: ignore[arg-type]
        assert found.num_blocks == budget // BLOCK
        assert found.capacity_tokens == (found.num_blocks - 1) * SIZE, "block 0 is nobody's"

    def test_a_number_of_blocks_that_was_set_is_taken(self, paged_bundle: Path) -> None:
        assert self.plan(paged_bundle, free=TOTAL, num_blocks=200).num_blocks == 200

    def test_a_small_cache_cuts_the_context(self, paged_bundle: Path) -> None:
        found = self.plan(paged_bundle, free=1_000_000 + 41 * BLOCK)
        assert found == PageBudget(num_blocks=41, block_size=SIZE, context_length=40 * SIZE)

    def test_a_context_that_was_asked_for_is_not_cut(self, paged_bundle: Path) -> None:
        free, asked = 1_000_000 + 41 * BLOCK, EngineSettings(max_context_length=40 * SIZE)
        assert self.plan(paged_bundle, free=free, settings=asked).context_length == 40 * SIZE
        beyond = EngineSettings(max_context_length=40 * SIZE + 1)
        with pytest.raises(ConfigurationError, match=r"41 blocks of 16 positions; a context of 641 tokens needs 42"):
            self.plan(paged_bundle, free=free, settings=beyond)

    @pytest.mark.parametrize("left", [2 * BLOCK - 1, 0, -500_000])
    def test_no_room_for_a_cache_says_what_was_needed_and_free(self, paged_bundle: Path, left: int) -> None:
        with pytest.raises(DeviceOutOfMemory) as caught:
            self.plan(paged_bundle, free=1_000_000 + left)
        error = caught.value
        assert (error.index, error.needed, error.free, error.total) == (2, 2 * BLOCK, max(left, 0), TOTAL)
        assert str(error) == (
            "GPU 2 is out of memory: the KV cache of model 'big' (gpu.memory_fraction 0.9) "
            f"needs {2 * BLOCK / 1e9:.2f} GB, {max(left, 0) / 1e9:.2f} GB of 0.01 GB are free"
        )
        assert self.plan(paged_bundle, free=1_000_000 + 2 * BLOCK).num_blocks == 2
