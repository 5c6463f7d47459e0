"""The GPU kit: prepared, run and printed in a dry run, on a processor."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attendant_loadtest.gpu.kit import Kit, load_references, save_references
from attendant_loadtest.gpu.parity import check_parity
from attendant_loadtest.gpu.report import markdown
from attendant_loadtest.gpu.shapes import DRY, DRY_MODELS, DRY_SMALL

from tests.loadtest.gpu_helpers import weight_bytes
from tests.system.server import environment

SECONDS = 300  # patience with one command; it takes a quarter of that on a busy machine

Results = dict[str, Any]


def kit_command(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attendant_loadtest.gpu", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment(), check=False)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="the exporter is not installed")
    out = tmp_path_factory.mktemp("kit") / "kit"
    process = kit_command("prepare", out, "--dry-run")
    assert process.returncode == 0, process.stderr
    return out


@pytest.fixture(scope="module")
def results_file(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "results.json"
    process = kit_command("run", kit, "--dry-run", "--out", out)
    assert process.returncode == 0, f"{process.stderr}\n{out.read_text() if out.exists() else ''}"
    return out


@pytest.fixture(scope="module")
def results(results_file: Path) -> Results:
    found: Results = json.loads(results_file.read_text(encoding="utf-8"))
    return found


# -- the dry run


def test_results_say_where_and_with_what(results: Results) -> None:
    assert results["dry_run"]
    assert results["hardware"]["processors"] >= 1
    assert results["hardware"]["memory_gb"] > 0
    assert {"python", "onnxruntime", "numpy"} <= set(results["versions"])
    assert {"torch", "transformers"} <= set(results["kit_versions"])
    assert results["date"].startswith("20")
    assert {name: check["ok"] for name, check in results["checks"].items()} == {
        "parity": True,
        "isolation": True,
        "speed": True,
        "serving": True,
    }


def test_every_small_model_is_close_to_torch(results: Results) -> None:
    models = results["checks"]["parity"]["models"]
    assert [(model["architecture"], model["dtype"]) for model in models] == list(DRY_SMALL)
    for model in models:
        assert model["positions"] == len(DRY.parity) * DRY.parity_tokens
        assert 0 < model["max_abs_error"] < 0.01 * model["spread"]
        assert model["p90_abs_error"] <= model["max_abs_error"] <= model["allowed"]
        assert model["torch_max_abs_error"] > model["torch_p90_abs_error"] > 0
        assert model["mixed_steps"] > 0
        assert model["shared_prompt_tokens"] > 0


def test_no_request_gets_another_token_in_company(results: Results) -> None:
    (model,) = results["checks"]["isolation"]["models"]
    assert model["requests"] == DRY.requests
    assert model["differing_requests"] == 0
    assert model["differences"] == []
    assert model["tokens_compared"] > 10 * DRY.requests
    assert model["largest_batch"] >= 3
    assert min(model["mixed_steps"], model["preemptions"], model["shared_prompt_tokens"]) > 0


def test_steps_are_timed_at_every_batch_both_ways(results: Results) -> None:
    speed = results["checks"]["speed"]
    assert speed["bandwidth"]["best_bytes_per_s"] >= speed["bandwidth"]["bytes_per_s"] > 1e9
    assert list(speed["models"]) == list(DRY.models)
    for name, model in speed["models"].items():
        shape = DRY_MODELS[name]
        assert model["weight_bytes_per_step"] == weight_bytes(shape)
        assert model["kv_bytes_per_position"] == 2 * shape.layers * shape.kv_heads * shape.head_size * 4  # float32
        for way in ("graphs", "no_graphs"):
            rows = model[way]["decode"]
            assert [row["batch"] for row in rows] == list(DRY.batches)
            for row in rows:
                assert DRY.prompt < row["mean_length"] < DRY.prompt + 3 * DRY.decode_steps + DRY.batches[-1]
                kv = row["batch"] * row["mean_length"] * model["kv_bytes_per_position"]
                assert row["bytes_per_step"] == pytest.approx(weight_bytes(shape) + kv)
                least_s = row["bytes_per_step"] / speed["bandwidth"]["bytes_per_s"]
                assert row["roofline_share"] == pytest.approx(least_s / (row["step_ms"] / 1e3))
                assert 0 < row["begin_us"] < row["step_p99_ms"] * 1e3
                assert min(row["host_us"], row["outside_run_us"], row["tokens_per_s"]) > 0
            assert [row["tokens"] for row in model[way]["prefill"]] == list(DRY.prefills)
            assert min(row["tokens_per_s"] for row in model[way]["prefill"]) > 0
            assert model[way]["streams"]["generated"] == DRY.streams * DRY.stream_waves * DRY.stream_tokens
        others = model["transformers"]["decode"]
        assert [row["batch"] for row in others] == list(DRY.batches)
        assert min(row["prompts_ms"] for row in others) > 0


def test_the_real_server_is_measured(results: Results) -> None:
    found = results["checks"]["serving"]
    assert found["model"] == DRY.served
    assert found["measurements"] >= 2
    assert found["generated"] == found["measurements"] * DRY.streams * DRY.stream_waves * DRY.stream_tokens
    assert found["seconds"] >= 60 * DRY.minutes
    assert found["tokens_per_s"] >= found["least_tokens_per_s"] > 0
    assert found["first_token_p99_ms"] >= found["first_token_p50_ms"] > 0
    assert found["inter_token_p99_ms"] >= found["inter_token_p50_ms"] > 0
    assert len(found["memory"]) >= 2
    assert 30e6 < found["resident_bytes"] < 3e9
    assert found["device_bytes"] is None, "there is no device"


def test_the_table_has_every_check_and_the_aims(results_file: Path, results: Results) -> None:
    process = kit_command("table", results_file)
    assert process.returncode == 0, process.stderr
    assert process.stdout == markdown(results)
    for heading in ("parity: passed", "isolation: passed", "speed: passed", "serving: passed", "Aims", "no GPU"):
        assert heading in process.stdout
    assert "its figures mean nothing" in process.stdout
    assert [aim["at_least"] for aim in results["aims"]] == [0.7, 3.0, 0.9]
    assert all(aim["met"] == (aim["value"] >= aim["at_least"]) for aim in results["aims"])


def test_a_check_that_fails_is_recorded_and_the_others_go_on(kit: Path, tmp_path: Path) -> None:
    broken, out = tmp_path / "kit", tmp_path / "results.json"
    shutil.copytree(kit, broken)
    first = Kit.load(broken).small[0]
    (broken / first.bundle / "decoder.onnx").write_bytes(b"no graph")
    process = kit_command("run", broken, "--dry-run", "--checks", "1", "--out", out)
    assert process.returncode == 1
    found = json.loads(out.read_text(encoding="utf-8"))
    check = found["checks"]["parity"]
    assert [model["ok"] for model in check["models"]] == [False, True]
    assert "decoder.onnx" in check["models"][0]["error"]
    assert not check["ok"]
    assert "parity: FAILED" in markdown(found)


def test_wrong_use_is_told(kit: Path, tmp_path: Path) -> None:
    for words, reason in [
        (["run", tmp_path], "holds no kit.json"),
        (["run", kit], "--dry-run"),
        (["prepare", kit, "--dry-run"], "is not empty"),
        (["run", kit, "--checks", "7"], "checks are 1 to 4"),
        (["table", tmp_path / "none.json"], "none.json"),
    ]:
        process = kit_command(*words)
        assert process.returncode == 2
        assert reason in process.stderr


# -- parity and isolation


def test_parity_notices_logits_that_are_off(kit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "kit"
    shutil.copytree(kit / "small", copy / "small")
    model = Kit.load(kit).small[0]
    references = load_references(copy / model.references)
    references[2].logits[1, references[2].tokens[1]] += 0.1
    save_references(copy / model.references, references)
    found = check_parity(copy, model, DRY)
    assert not found["ok"]
    assert found["max_abs_error"] == pytest.approx(0.1, abs=0.02)
    assert found["positions"] == len(DRY.parity) * DRY.parity_tokens


def test_parity_goes_on_behind_another_token(kit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "kit"
    shutil.copytree(kit / "small", copy / "small")
    model = Kit.load(kit).small[0]
    references = load_references(copy / model.references)
    for reference in references:
        reference.tokens[-2] = reference.logits[-2].argsort()[-2]  # what the engine will not take
    save_references(copy / model.references, references)
    found = check_parity(copy, model, DRY)
    assert found["positions"] == len(DRY.parity) * DRY.parity_tokens
    assert found["other_tokens"] >= len(DRY.parity)
    assert found["max_abs_error"] > found["allowed"], "torch did not answer what follows the other token"
