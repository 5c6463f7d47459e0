"""Loading bundles: what is wrong is named, file and cause."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attendant.bundle import MANIFEST_FILE, TOKENIZER_FILE, FileEntry, KVLayer, read_manifest, sha256
from attendant.core.errors import BundleError, ConfigurationError, ModelFailed, ModelNotFound
from attendant.models.discovery import find_bundles
from attendant.models.failed import FailedModel
from attendant.models.ledger import MemoryLedger
from attendant.models.loaded import LoadedModel
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.models.lookup import GENERATE, Wanted, encoding, find
from attendant.models.memory import plan_kv_memory, processor_memory
from attendant.settings import EngineSettings

from tests.synthetic import make_synthetic_bundle


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_synthetic_bundle(tmp_path_factory.mktemp("b") / "good")


@pytest.fixture
def bundle(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "bundle"))


def load(*paths: Path, verify: bool = True, **settings: Any) -> tuple[LoadedBundles, list[str]]:
    lines: list[str] = []
    chosen = EngineSettings(**{"threads": 1, "spinning": False, "max_num_seqs": 2} | settings)
    return ModelLoader(chosen, verify=verify, progress=lines.append).load_all(paths), lines


def meant(bundles: LoadedBundles, name: str, wanted: Wanted) -> LoadedModel | FailedModel:
    """The model that a call means."""
    known: list[LoadedModel | FailedModel] = [*bundles.models, *bundles.failed]
    return find(known, name, wanted)


def edit(bundle: Path, change: Callable[[dict], None]) -> None:
    path = bundle / MANIFEST_FILE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def replace_file(bundle: Path, name: str, content: bytes) -> None:
    """Replace a file and make the manifest agree."""
    (bundle / name).write_bytes(content)
    entry = FileEntry(size=len(content), sha256=sha256(bundle / name)).model_dump()
    edit(bundle, lambda data: data["files"].update({name: entry}))


DEEP = '{"a":' * 100_000
"""More levels than a reader that calls itself has room for."""


def make_folder(path: Path) -> None:
    """Puts a folder in a file's place."""
    path.unlink()
    path.mkdir()


def make_loose_end(path: Path) -> None:
    """Puts a link that leads nowhere in a file's place."""
    path.unlink()
    path.symlink_to("nowhere")


def test_a_good_bundle_loads_and_says_what_it_does(bundle: Path) -> None:
    bundles, lines = load(bundle)
    assert meant(bundles, "", GENERATE).name == meant(bundles, "synthetic", GENERATE).name == "synthetic"
    assert any("ready in" in line and "KV cache" in line for line in lines)
    with pytest.raises(ModelNotFound, match="'other' is loaded; loaded models: 'synthetic'"):
        meant(bundles, "other", GENERATE)


@pytest.mark.parametrize(
    ("damage", "file", "cause"),
    [
        (lambda b: (b / "decoder.onnx").unlink(), "decoder.onnx", "the file is missing"),
        (lambda b: (b / MANIFEST_FILE).unlink(), "bundle", "there is no bundle.json in it"),
        (lambda b: (b / MANIFEST_FILE).write_text("{"), MANIFEST_FILE, "not valid JSON"),
        (lambda b: (b / MANIFEST_FILE).write_bytes(b"\xff\xfe"), MANIFEST_FILE, "cannot be read"),
        (lambda b: (b / MANIFEST_FILE).write_text(DEEP), MANIFEST_FILE, "not valid JSON: it is nested too deeply"),
        (lambda b: (b / MANIFEST_FILE).write_text("1" * 5000), MANIFEST_FILE, "not valid JSON"),
        (lambda b: make_folder(b / MANIFEST_FILE), MANIFEST_FILE, "cannot be read"),
        (lambda b: make_folder(b / "decoder.onnx"), "decoder.onnx", "the file is missing"),
        (lambda b: make_loose_end(b / "decoder.onnx"), "decoder.onnx", "the file is missing"),
        (lambda b: make_loose_end(b / MANIFEST_FILE), "bundle", "there is no bundle.json in it"),
        (lambda b: edit(b, lambda d: d.update(schema_version=7)), MANIFEST_FILE, "schema version 7; this server reads"),
        (lambda b: edit(b, lambda d: d.pop("vocab_size")), MANIFEST_FILE, "vocab_size: Field required"),
        (lambda b: edit(b, lambda d: d.update(target="cuda")), MANIFEST_FILE, "target cuda has its KV cache in pages"),
        (lambda b: edit(b, lambda d: d.update(chat_template="{% if %}")), "bundle", "chat template does not compile"),
        (lambda b: (b / TOKENIZER_FILE).write_bytes(b"x"), TOKENIZER_FILE, "1 bytes, the manifest says"),
        (lambda b: replace_file(b, TOKENIZER_FILE, b"{}"), TOKENIZER_FILE, "is not a tokenizer"),
        (lambda b: replace_file(b, "decoder.onnx", b"no graph"), "decoder.onnx", "is not an ONNX file"),
        (lambda b: replace_file(b, "decoder.onnx", b"\x08\x08"), "decoder.onnx", "ONNX Runtime cannot load it"),
    ],
)
def test_a_bad_bundle_is_refused_by_file_and_cause(
    bundle: Path, damage: Callable[[Path], object], file: str, cause: str
) -> None:
    damage(bundle)
    with pytest.raises(BundleError, match=cause) as caught:
        load(bundle)
    assert Path(caught.value.path).name == file


@pytest.mark.parametrize(
    ("damage", "name", "cause"),
    [
        (lambda b: (b / "decoder.onnx").unlink(), "broken", "the file is missing"),
        (lambda b: (b / MANIFEST_FILE).write_text("{"), "folder", "not valid JSON"),
        (lambda b: edit(b, lambda d: d.update(chat_template="{% if %}")), "broken", "chat template does not compile"),
        (lambda b: edit(b, lambda d: d["kv_layers"][0].update(num_kv_heads=4)), "broken", "warm-up run failed"),
        (shutil.rmtree, "folder", "folder is not a folder"),
    ],
)
def test_a_bundle_that_cannot_be_served_leaves_the_others_alone(
    good: Path,
    tmp_path: Path,
    damage: Callable[[Path], object],
    name: str,
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Path(shutil.copytree(good, tmp_path / "folder"))
    edit(broken, lambda data: data.update(name="broken"))
    damage(broken)
    bundles, _ = load(broken, good)
    assert [model.name for model in bundles.models] == ["synthetic"]
    (failed,) = bundles.failed
    assert failed.name == name
    assert cause in failed.cause
    assert str(tmp_path) not in failed.cause
    assert f"model '{name}' is not served" in caplog.text
    for ask in (lambda: meant(bundles, name, GENERATE), lambda: meant(bundles, name, encoding("classify"))):
        with pytest.raises(ModelFailed, match=f"model '{name}' is not served: .*{cause}"):
            ask()
    assert meant(bundles, "synthetic", GENERATE).name == "synthetic"
    with pytest.raises(ModelNotFound, match=f"loaded models: 'synthetic'; not served: '{name}'"):
        meant(bundles, "other", GENERATE)
    with pytest.raises(BundleError, match=cause):
        ModelLoader(EngineSettings(threads=1), verify=True, progress=print).load_all([good, broken], strict=True)


def test_one_flipped_bit_is_found(bundle: Path) -> None:
    path = bundle / "decoder.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"SHA-256.*corrupt"):
        load(bundle)
    load(bundle, verify=False)  # a weight's bit: it runs, and answers wrongly; that is why files are checked


def test_a_graph_that_does_not_match_its_manifest_is_found_at_load(bundle: Path) -> None:
    edit(bundle, lambda d: d["kv_layers"][0].update(num_kv_heads=4))
    with pytest.raises(BundleError, match="warm-up run failed"):
        load(bundle)


def test_folders_of_bundles_are_searched_one_level_deep(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_synthetic_bundle(tmp_path / name, name=name)
    (tmp_path / "notes").mkdir()
    assert [p.name for p in find_bundles([tmp_path])] == ["a", "b"]
    bundles, _ = load(tmp_path)
    assert sorted(model.name for model in bundles.models) == ["a", "b"]
    with pytest.raises(ModelNotFound):
        meant(bundles, "", GENERATE)


def test_names_are_unique(good: Path, bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"has the name 'synthetic', which .* has too"):
        load(good, bundle)


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_a_folder_without_bundles_is_an_error(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"is not a folder|holds none"):
        load(tmp_path / what)


class TestKVMemory:
    def plan(self, good: Path, **settings: Any) -> Any:
        layer = KVLayer(num_kv_heads=4, head_size=64, dtype="float32")
        manifest = read_manifest(good).model_copy(update={"kv_layers": (layer,) * 12, "context_length": 2048})
        chosen = EngineSettings(**settings)
        share = MemoryLedger().share(processor_memory(chosen), "m", chosen.kv_memory)
        return plan_kv_memory(manifest, chosen, share, max_num_seqs=settings.get("max_num_seqs", 16))

    def test_the_budget_is_counted_in_pages_of_positions(self, good: Path) -> None:
        budget = self.plan(good, kv_memory="1GiB", max_num_seqs=100)
        assert budget.page_tokens == 16
        assert budget.capacity_tokens == 2**30 // (12 * 2 * 4 * 64 * 4) // 16 * 16
        assert budget.context_length == budget.slot_length == 2048

    def test_more_than_the_slots_can_hold_is_not_claimed(self, good: Path) -> None:
        assert self.plan(good, kv_memory="100GiB", max_num_seqs=3).capacity_tokens == 3 * 2048

    def test_a_small_budget_cuts_the_context_length(self, good: Path) -> None:
        budget = self.plan(good, kv_memory="10MiB")
        assert budget.context_length == budget.capacity_tokens == 416

    def test_a_context_length_may_be_asked_for_but_not_beyond_the_models(self, good: Path) -> None:
        budget = self.plan(good, kv_memory="1GiB", max_context_length=1000)
        assert (budget.context_length, budget.slot_length) == (1000, 1008)
        with pytest.raises(ConfigurationError, match=r"max_context_length is 4096.*2048 tokens at most"):
            self.plan(good, max_context_length=4096)

    def test_a_budget_below_one_page_is_an_error(self, good: Path) -> None:
        with pytest.raises(ConfigurationError, match="needs at least"):
            self.plan(good, kv_memory="1KiB")
