"""The GPU kit: prepared, run and printed in a dry run, on a processor; and its parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.core.events import TokenLogprob
from attendant.settings import EngineSettings, GpuSettings
from attendant_loadtest.gpu.aims import aims
from attendant_loadtest.gpu.driver import Answer, Driver, greedy
from attendant_loadtest.gpu.errors import Errors, log_probabilities
from attendant_loadtest.gpu.fill import SPREAD, Weight, fill_bundle, to_bfloat16, weights
from attendant_loadtest.gpu.isolation import difference, make_requests
from attendant_loadtest.gpu.kit import Kit, load_references, save_references
from attendant_loadtest.gpu.parity import check_parity
from attendant_loadtest.gpu.report import markdown, merge
from attendant_loadtest.gpu.shapes import ARCHITECTURES, DRY, DRY_MODELS, DRY_SMALL, DTYPES, FULL, MODELS, LlamaShape
from attendant_loadtest.gpu.worker import Worker, WorkFailed

from tests.system.server import environment

SECONDS = 300  # patience with one command; it takes a quarter of that on a busy machine

CLOSE = 1e-4  # of log-probabilities over the same weights

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


def test_where_two_answers_part() -> None:
    def answer(*tokens: int) -> Answer:
        reports = [TokenLogprob(t, -0.5, ((t, -0.5), (t + 1, -0.75))) for t in tokens]
        return Answer(1, list(tokens), reports, done=True)

    assert difference(answer(4, 5, 6), answer(4, 5, 6)) is None
    assert difference(answer(4, 5, 6, 7), answer(4, 9, 1, 2)) == {"place": 1, "margin": 0.25, "not_compared": 2}


def test_requests_are_random_and_share_beginnings() -> None:
    requests = make_requests(FULL, 272)
    assert len(requests) == 500
    longest = max(len(prompt) + length for prompt, length in requests)
    assert 300 < longest <= FULL.shared + FULL.own + FULL.answer <= FULL.context
    assert len({len(prompt) for prompt, _ in requests}) > 200
    beginnings = {tuple(prompt[:20]) for prompt, _ in requests if len(prompt) > 250}
    assert len(beginnings) < 80


def test_errors_are_of_log_probabilities() -> None:
    logits = np.array([1.0, 2.0, 4.0, -1.0], np.float32)
    exact = log_probabilities(logits)
    assert np.exp(exact).sum() == pytest.approx(1)
    assert log_probabilities(logits + 100) == pytest.approx(exact)
    errors = Errors()
    errors.add({2: exact[2] + 0.25, 1: exact[1]}, logits)
    errors.add({2: exact[2]}, logits)
    assert (errors.positions, errors.largest) == (2, pytest.approx(0.25))
    assert errors.p90 == pytest.approx(0.225)
    assert errors.spread == pytest.approx(logits.std())


# -- Llamas without weights


@pytest.mark.parametrize("name", list(DRY_MODELS))
def test_a_filled_bundle_is_the_llama_of_its_weights(kit: Path, tmp_path: Path, name: str) -> None:
    bundle, shape = tmp_path / "bundle", DRY_MODELS[name]
    assert fill_bundle(kit / Kit.load(kit).llamas[name], bundle) == weight_bytes(shape)
    assert_answers_like(bundle, llama_of(bundle, shape))


def test_a_bundle_filled_for_a_gpu_is_the_llama_of_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the exporter is not installed")
    from attendant_export.reference_bundle import reference_bundle
    from attendant_loadtest.gpu.prepare.hollow import write_hollow_bundle

    shape = DRY_MODELS["8b"]
    write_hollow_bundle(shape, tmp_path / "hollow", "llama", reference=False)
    assert not list((tmp_path / "hollow").glob("*.data"))
    assert fill_bundle(tmp_path / "hollow", tmp_path / "filled") == weight_bytes(shape) // 2
    reference_bundle(tmp_path / "filled", tmp_path / "reference")
    assert_answers_like(tmp_path / "reference", llama_of(tmp_path / "filled", shape))


@pytest.mark.parametrize("name", list(DRY_MODELS))
def test_weights_have_places_of_their_own(kit: Path, tmp_path: Path, name: str) -> None:
    fill_bundle(kit / Kit.load(kit).llamas[name], tmp_path / "bundle")
    found = sorted(weights(tmp_path / "bundle"), key=lambda weight: weight.offset)
    assert len(found) == 4 * DRY_MODELS[name].layers + (1 if DRY_MODELS[name].tied else 2)
    contents = set()
    for weight, following in zip(found, [*found[1:], None], strict=True):
        assert weight.length == 4 * np.prod(weight.shape)
        assert following is None or weight.offset + weight.length <= following.offset
        array = stored(tmp_path / "bundle", weight)
        assert array.std() == pytest.approx(SPREAD, rel=0.05)
        contents.add(array.tobytes()[:64])
    assert len(contents) == len(found), "no two have the same content"


def test_the_llamas_have_their_true_sizes() -> None:
    assert weight_bytes(MODELS["1b"]) // 4 == pytest.approx(1.236e9, rel=1e-3)
    embeddings = MODELS["8b"].vocabulary * MODELS["8b"].hidden
    assert weight_bytes(MODELS["8b"]) // 4 + embeddings == pytest.approx(8.03e9, rel=1e-3)
    assert len(ARCHITECTURES) * len(DTYPES) >= 20


def test_rounding_to_bfloat16_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    values = np.concatenate(
        [
            np.random.default_rng(0).standard_normal(10_000, np.float32),
            np.array([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 65504, 1e-40, -3e38], np.float32),
        ]
    )
    wanted = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(to_bfloat16(values), wanted)


def weight_bytes(shape: LlamaShape) -> int:
    """Of a step, in float32, without norms."""
    query, cache = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    layer = shape.hidden * (2 * query + 2 * cache + 3 * shape.intermediate)
    return 4 * (shape.layers * layer + shape.vocabulary * shape.hidden)


def stored(bundle: Path, weight: Weight) -> np.ndarray:
    """A matrix as float32."""
    with (bundle / weight.file).open("rb") as stream:
        stream.seek(weight.offset)
        content = stream.read(weight.length)
    if weight.dtype == "float32":
        return np.frombuffer(content, np.float32).reshape(weight.shape)
    wide = np.frombuffer(content, np.uint16).astype(np.uint32) << 16
    return wide.view(np.float32).reshape(weight.shape)


def assert_answers_like(bundle: Path, model: Any) -> None:
    """The engine's greedy tokens and log-probabilities over ``bundle`` are those of a torch model."""
    import torch

    prompt = np.random.default_rng(4).integers(3, model.config.vocab_size, 21)
    settings = EngineSettings(max_num_seqs=2, max_context_length=64, threads=1, spinning=False)
    driver = Driver(bundle, settings, GpuSettings())
    request = driver.submit(prompt.tolist(), greedy(8, logprobs=64))
    driver.drain()
    answer = driver.answers[request]
    tokens = torch.tensor([[*prompt.tolist(), *answer.tokens[:-1]]])
    with torch.no_grad():
        logits = model(tokens, use_cache=False).logits[0, len(prompt) - 1 :].numpy()
    assert logits.std() > 100 * CLOSE
    for token, report, row in zip(answer.tokens, answer.logprobs, logits, strict=True):
        wanted = log_probabilities(row)
        assert wanted[token] == pytest.approx(wanted.max(), abs=CLOSE)
        for other, value in report.top:
            assert value == pytest.approx(wanted[other], abs=CLOSE)


def llama_of(bundle: Path, shape: LlamaShape) -> Any:
    """A torch Llama with the weights of a bundle, taken in the order in which the graph multiplies with them."""
    import onnx
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    places = {weight.name: weight for weight in weights(bundle)}
    graph = onnx.load(str(bundle / "decoder.onnx"), load_external_data=False).graph
    used = [next((name for name in node.input if name in places), None) for node in graph.node]
    embed, *products, head = [stored(bundle, places[name]) for name in used if name]
    assert len(products) == 4 * shape.layers
    state = {"model.embed_tokens.weight": embed, "model.norm.weight": np.ones(shape.hidden, np.float32)}
    state["lm_head.weight"] = head if shape.tied else head.T
    query, cache = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for layer in range(shape.layers):
        packed, out, both, down = products[4 * layer : 4 * layer + 4]
        named = dict(zip("qkv", np.split(packed, [query, query + cache], axis=1), strict=True))
        parts = {f"self_attn.{kind}_proj": matrix for kind, matrix in named.items()}
        parts |= {"self_attn.o_proj": out, "mlp.down_proj": down}
        parts |= dict(zip(("mlp.gate_proj", "mlp.up_proj"), np.split(both, 2, axis=1), strict=True))
        state |= {f"model.layers.{layer}.{key}.weight": matrix.T for key, matrix in parts.items()}
        for norm in ("input_layernorm", "post_attention_layernorm"):
            state[f"model.layers.{layer}.{norm}.weight"] = np.ones(shape.hidden, np.float32)
    model = AutoModelForCausalLM.from_config(LlamaConfig(**shape.config()), attn_implementation="eager").eval()
    model.load_state_dict({name: torch.from_numpy(np.array(array, order="C")) for name, array in state.items()})
    return model


# -- results


def test_results_of_several_runs_are_read_as_of_one() -> None:
    one = {"date": "a", "checks": {"speed": {"ok": True, "models": {"1b": {"x": 1}}}}}
    other = {"date": "b", "checks": {"speed": {"ok": False, "models": {"8b": {"x": 2}}}, "serving": {"ok": True}}}
    assert merge([one, other]) == {
        "date": "b",
        "checks": {"speed": {"ok": False, "models": {"1b": {"x": 1}, "8b": {"x": 2}}}, "serving": {"ok": True}},
    }


def test_aims_are_of_the_8b_at_batch_64() -> None:
    ours = [{"batch": b, "roofline_share": b / 100, "tokens_per_s": 10.0 * b} for b in (1, 64, 128)]
    theirs = [{"batch": 1, "tokens_per_s": 1.0}, {"batch": 64, "tokens_per_s": 160.0}, {"batch": 128, "error": "no"}]
    model = {"graphs": {"decode": ours, "streams": {"tokens_per_s": 50.0}}, "transformers": {"decode": theirs}}
    serving = {"model": "8b", "streams": 64, "tokens_per_s": 46.0}
    found = aims({"checks": {"speed": {"models": {"8b": model}}, "serving": serving}})
    assert [aim.value for aim in found] == [pytest.approx(0.64), pytest.approx(4.0), pytest.approx(0.92)]
    assert [aim.met for aim in found] == [False, True, True]
    assert aims({"checks": {"speed": {"ok": False, "error": "x"}}}) == []


# -- workers


def test_work_that_fails_is_told_and_the_next_goes_on() -> None:
    with Worker() as worker:
        first = worker.call(os.getpid, timeout_s=60)
        assert worker.call(os.getpid, timeout_s=60) == first != os.getpid()
        with pytest.raises(WorkFailed, match=r"ZeroDivisionError"):
            worker.call(divmod, 1, 0, timeout_s=60)
        second = worker.call(os.getpid, timeout_s=60)
        assert second != first, "a process that failed is not used again"
        with pytest.raises(WorkFailed, match=r"_exit ended with code 3"):
            worker.call(os._exit, 3, timeout_s=60)
        with pytest.raises(WorkFailed, match=r"sleep took longer than 1 s"):
            worker.call(time.sleep, 600, timeout_s=1)
        third = worker.call(os.getpid, timeout_s=60)
        assert worker.fresh(os.getpid, timeout_s=60) != third
    assert not Path(f"/proc/{third}").exists()
