"""The GPU kit's Llamas: bundles without weights, and the random ones that fill them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attendant.settings import EngineSettings, GpuSettings
from attendant_loadtest.gpu.driver import Driver, greedy
from attendant_loadtest.gpu.errors import log_probabilities
from attendant_loadtest.gpu.fill import SPREAD, Weight, fill_bundle, to_bfloat16, weights
from attendant_loadtest.gpu.shapes import ARCHITECTURES, DRY_MODELS, DTYPES, MODELS, LlamaShape

from tests.loadtest.gpu_helpers import weight_bytes

CLOSE = 1e-4  # of log-probabilities over the same weights

Hollow = Callable[[str], Path]


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Hollow:
    """Bundles of the dry run's Llamas without weights, by name, as the kit has them."""
    pytest.importorskip("torch", reason="the exporter is not installed")
    from attendant_loadtest.gpu.prepare.hollow import write_hollow_bundle

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp("hollow") / name
        write_hollow_bundle(DRY_MODELS[name], out, f"llama-{name}", reference=True)
        return out

    return make


@pytest.mark.parametrize("name", list(DRY_MODELS))
def test_a_filled_bundle_is_the_llama_of_its_weights(hollow: Hollow, tmp_path: Path, name: str) -> None:
    bundle, shape = tmp_path / "bundle", DRY_MODELS[name]
    assert fill_bundle(hollow(name), bundle) == weight_bytes(shape)
    assert_answers_like(bundle, llama_of(bundle, shape))


def test_a_bundle_filled_for_a_gpu_is_the_llama_of_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the exporter is not installed")
    from attendant_export.paged.bundle import reference_bundle
    from attendant_loadtest.gpu.prepare.hollow import write_hollow_bundle

    shape = DRY_MODELS["8b"]
    write_hollow_bundle(shape, tmp_path / "hollow", "llama", reference=False)
    assert not list((tmp_path / "hollow").glob("*.data"))
    assert fill_bundle(tmp_path / "hollow", tmp_path / "filled") == weight_bytes(shape) // 2
    reference_bundle(tmp_path / "filled", tmp_path / "reference")
    assert_answers_like(tmp_path / "reference", llama_of(tmp_path / "filled", shape))


@pytest.mark.parametrize("name", list(DRY_MODELS))
def test_weights_have_places_of_their_own(hollow: Hollow, tmp_path: Path, name: str) -> None:
    fill_bundle(hollow(name), tmp_path / "bundle")
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
