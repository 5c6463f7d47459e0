"""Memory that models share: even shares at the start, what is left for those that come later, and who holds what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import GeneratorManifest, read_manifest
from attendant.core.errors import AttendantError, MemoryTaken
from attendant.models import memory
from attendant.models.ledger import Holding, Memory, MemoryLedger
from attendant.models.loaded import load_model
from attendant.models.page_memory import plan_blocks
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

from tests.models.test_pages import BLOCK, SIZE, TOTAL, DeviceMemory, manifest_of
from tests.synthetic import make_synthetic_bundle

CPU = Memory("the CPU", total=10_000, pool=3_000)


def test_models_of_the_start_share_evenly_whatever_they_take() -> None:
    ledger = MemoryLedger()
    ledger.expect(["a", "b", "c"])
    assert ledger.share(CPU, "a").num_bytes == 1_000
    ledger.grant(CPU, "a", 10)
    ledger.settle("a")
    assert ledger.share(CPU, "b").num_bytes == 1_000, "that the first took little is nothing to the second"
    ledger.release("b")  # its bundle was broken
    assert ledger.share(CPU, "c").num_bytes == 1_000
    assert ledger.share(CPU, "c", asked=9_000).num_bytes == 9_000, "a budget of its own goes before the share"


def test_shares_may_be_kept_for_models_that_come_later() -> None:
    ledger = MemoryLedger()
    ledger.expect(["a", "b"], among=3)
    assert ledger.share(CPU, "a").num_bytes == 1_000
    for name in ("a", "b"):
        account = ledger.account(name)
        account.grant(CPU, account.share(CPU).num_bytes)
        ledger.settle(name)
    assert ledger.account("c").share(CPU).num_bytes == 1_000


def test_a_later_model_gets_what_is_left_or_hears_who_has_it() -> None:
    ledger = MemoryLedger()
    ledger.expect(["a", "b"])
    ledger.grant(CPU, "a", 1_200)
    ledger.grant(CPU, "b", 1_500, asked=1_500)
    for name in ("a", "b"):
        ledger.settle(name)
    assert ledger.holdings("the CPU") == {"a": Holding(None, 1_200), "b": Holding(1_500, 1_500)}
    assert ledger.share(CPU, "c").num_bytes == 300
    assert ledger.share(CPU, "c", asked=7_000).num_bytes == 7_000
    with pytest.raises(MemoryTaken) as caught:
        ledger.share(CPU, "c", asked=7_301)
    assert str(caught.value) == (
        "model 'c' needs 7,301 bytes on the CPU; 7,300 are left: 'a' holds 1,200, 'b' holds 1,500"
    )
    assert caught.value.held == (("a", 1_200), ("b", 1_500))
    assert ledger.share(Memory("GPU 0", 8_000, 7_000), "c").num_bytes == 7_000, "another memory is another account"
    ledger.release("a")
    assert ledger.share(CPU, "c").num_bytes == 1_500


def load(path: Path, ledger: MemoryLedger, **settings: Any) -> int:
    """Tokens of the KV cache that the model of a bundle gets."""
    chosen = EngineSettings(**{"threads": 1, "spinning": False} | settings)
    manifest = read_manifest(path)
    account = ledger.account(manifest.name)
    model = load_model(path, manifest, chosen, EncoderSettings(), GpuSettings(), account=account)
    assert model.generator is not None
    return model.generator.engines[0].facts("x").kv_capacity_tokens


def bundle(folder: Path, name: str) -> tuple[Path, GeneratorManifest]:
    path = make_synthetic_bundle(folder / name, name=name)
    return path, read_manifest(path)


def test_what_models_of_a_command_line_get_is_a_division(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, manifest), (second, _), (third, _) = (bundle(tmp_path, name) for name in "abc")
    each = manifest.kv_bytes_per_token()
    ample = MemoryLedger().share(Memory("x", 10**12, 10**12), "x")
    page = memory.plan_kv_memory(manifest, EngineSettings(), ample, 1).page_tokens
    total = int(each * page * 11.5 / 0.3)
    monkeypatch.setattr(memory, "available_memory", lambda: total)
    ledger = MemoryLedger()
    ledger.expect(["a", "b"])
    expected = int(total * 0.3) // 2 // each // page * page
    assert expected == 5 * page
    assert load(first, ledger, max_num_seqs=64) == load(second, ledger, max_num_seqs=64) == expected
    held = {name: held.granted for name, held in ledger.holdings("the CPU").items()}
    assert held == {"a": expected * each, "b": expected * each}
    with pytest.raises(MemoryTaken, match=r"'c' needs .* bytes on the CPU; .* left: 'a' holds .*, 'b' holds"):
        load(third, ledger, kv_memory=total)
    assert load(third, ledger, max_num_seqs=64) == page, "a page was left"
    ledger.release("a")
    ledger.release("c")
    assert load(third, ledger, max_num_seqs=64) == 6 * page


def test_a_model_that_cannot_be_loaded_holds_nothing(tmp_path: Path) -> None:
    broken, _ = bundle(tmp_path, "a")
    (broken / "decoder.onnx").write_bytes(b"no graph")
    ledger = MemoryLedger()
    with pytest.raises(AttendantError):
        load(broken, ledger)
    assert ledger.holdings("the CPU") == {}


def test_a_later_model_on_a_gpu_hears_who_holds_it(paged_bundle: Path) -> None:
    ledger = MemoryLedger()
    gpu = Memory("GPU 2", TOTAL, int(TOTAL * 0.9))
    ledger.grant(gpu, "first", 7_000_000)
    before = TOTAL - 7_000_000

    def plan(own: int) -> int:
        share, device = ledger.share(gpu, "big"), DeviceMemory(before - own, TOTAL)
        manifest = manifest_of(paged_bundle)
        return plan_blocks(manifest, EngineSettings(), GpuSettings(), device, before, SIZE, share).num_blocks

    assert plan(500_000) == 1_500_000 // BLOCK
    with pytest.raises(MemoryTaken, match=r"'big' needs 2,0.* on GPU 2; 2,000,000 are left: 'first' holds 7,000,000"):
        plan(2_000_000)
