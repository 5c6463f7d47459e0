"""What a precision changes of a text, who counts as trained, and which bundles are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from attendant.bundle import Distance, Fidelity, Parity, VectorFidelity, read_any_manifest
from attendant_export.decoders import graphs
from attendant_export.decoders.families import reference_attention
from attendant_export.errors import ParityError
from attendant_export.export import export_model
from attendant_export.fidelity.decoder import Stretch
from attendant_export.fidelity.distance import DistanceSum
from attendant_export.fidelity.limits import LIMITS, check_fidelity
from attendant_export.fidelity.trained import is_trained
from attendant_export.fidelity.vectors import check_vectors, compare_vectors
from attendant_export.fidelity.windows import leading_tokens, text_windows
from attendant_export.recipe import PRECISIONS, Recipe
from attendant_export.texts import calibration_text, verification_text

from tests.bundles import BOS, make_llama, make_tokenizer
from tests.export.architectures import build
from tests.export.shapes import VOCAB

DEMO = Path(__file__).parents[2] / "server" / "attendant" / "demo" / "bundle"


def encode(text: str) -> list[int]:
    ids: list[int] = make_tokenizer().encode(text).ids
    return ids


def fidelity(
    kl: float = 0.0, agreement: float = 1.0, *, decode_kl: float | None = None, trained: bool = True
) -> Fidelity:
    prompt = Distance(positions=1600, nll=2.8, reference_nll=2.75, kl=kl, greedy_agreement=agreement)
    decode = prompt.model_copy(update={"kl": kl if decode_kl is None else decode_kl})
    return Fidelity(trained=trained, entropy=2.5, prompt=prompt, decode=decode)


# -- measuring


def test_distances_are_those_of_the_formulas() -> None:
    generator = np.random.default_rng(0)
    wanted = generator.normal(0, 3, (70, 50_000)).astype(np.float32)
    found = wanted + generator.normal(0, 0.3, wanted.shape).astype(np.float32)
    targets = generator.integers(0, 50_000, 70)
    total = DistanceSum()
    total.add(wanted[:30], found[:30], targets[:30])
    total.add(wanted[30:], found[30:], targets[30:])
    left, right = (torch.from_numpy(part).double().log_softmax(-1) for part in (wanted, found))
    mean = total.mean()
    assert mean.positions == 70
    assert mean.kl == pytest.approx(float((left.exp() * (left - right)).sum(-1).mean()), rel=1e-9)
    assert mean.reference_nll == pytest.approx(-float(left[range(70), targets].mean()), rel=1e-9)
    assert mean.nll == pytest.approx(-float(right[range(70), targets].mean()), rel=1e-9)
    assert mean.greedy_agreement == pytest.approx(float((left.argmax(-1) == right.argmax(-1)).double().mean()))
    assert total.entropy == pytest.approx(-float((left.exp() * left).sum(-1).mean()), rel=1e-9)


def test_forbidden_tokens_cost_nothing() -> None:
    logits = np.array([[0.0, 1.0, -np.inf]], np.float32)
    total = DistanceSum()
    total.add(logits, logits, np.array([1]))
    assert total.mean().kl == 0.0
    assert math.isfinite(total.entropy)


def test_windows_cover_the_text_once() -> None:
    text = "Hello, where is my order? " * 40
    ids = encode(text)
    windows = text_windows(text, encode, vocab_size=300, context_length=64, leading=(1,))
    assert len({len(window) for window in windows}) == 1
    assert all(window[0] == 1 and len(window) <= 64 for window in windows)
    joined = np.concatenate([window[1:] for window in windows])
    assert joined.tolist() == ids[: len(joined)]
    assert len(ids) - len(joined) < len(windows)


def test_a_tokenizer_that_the_model_does_not_know_gives_no_windows() -> None:
    assert text_windows("Hello there", encode, vocab_size=3, context_length=64) == []


def test_logits_of_a_window_fit_into_memory() -> None:
    windows = text_windows(verification_text(), encode, vocab_size=100_000, context_length=4096)
    assert len(windows[0]) * 100_000 * 4 <= 70e6


def test_leading_tokens_are_those_that_the_tokenizer_adds() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    assert leading_tokens(tokenizer) == ()
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 1)])
    assert leading_tokens(tokenizer) == (1,)


def test_a_stretch_keeps_within_its_window() -> None:
    for length in (8, 40, 161, 400):
        part = Stretch().within(length)
        assert part.prompt >= 1
        assert part.prompt + part.steps < length


# -- who is trained


def test_trained_is_who_knows_the_text_better_than_its_counts() -> None:
    targets = np.arange(1000) % 500
    assert is_trained(2.8, targets, 49_152)
    assert not is_trained(math.log(49_152), targets, 49_152)
    assert not is_trained(6.5, targets, 49_152)  # no better than knowing which 500 tokens there are
    assert not is_trained(0.1, np.zeros(1000, np.int64), 49_152)  # a text of one token only


@pytest.mark.parametrize("spread", [0.02, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("tied", [False, True])
def test_random_models_are_not_trained_however_sure_they_are(spread: float, tied: bool) -> None:
    model = make_llama(initializer_range=spread, tie_word_embeddings=tied)
    assert not is_trained(*_loss(model, encode))


@pytest.mark.parametrize("name", ["gemma2", "gpt2", "bloom", "mixtral", "falcon", "olmo2"])
def test_random_models_of_other_families_are_not_trained(name: str) -> None:
    assert not is_trained(*_loss(build(name), lambda text: [token % (VOCAB - 3) + 3 for token in encode(text)]))


def _loss(model: Any, tokens: Any) -> tuple[float, Any, int]:
    width = model.config.get_text_config().vocab_size
    windows = text_windows(verification_text(), tokens, vocab_size=width, context_length=64)[:8]
    batch = torch.from_numpy(np.stack(windows))
    with torch.no_grad(), reference_attention(model):
        logits = model(batch, use_cache=False).logits[:, :-1].double()
    targets = batch[:, 1:]
    nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    return float(nll), targets.flatten().numpy(), logits.shape[-1]


# -- limits


def test_every_precision_has_limits() -> None:
    assert {precision for known in PRECISIONS.values() for precision in known} <= set(LIMITS)


@pytest.mark.parametrize(
    ("precision", "found"),
    [
        ("int8", fidelity(0.0443)),  # SmolLM2 with one scale a row and nothing done against its outliers
        ("int8", fidelity(0.01, 0.88)),
        ("int4", fidelity(0.263, 0.72)),
        ("mixed", fidelity(0.0443, 0.95, decode_kl=0.1)),
        ("mixed", fidelity(0.01, 0.95, decode_kl=0.26)),
        ("fp32", fidelity(0.001)),
        ("int8", fidelity(float("nan"))),
    ],
)
def test_damaged_bundles_of_trained_models_are_refused(precision: Any, found: Fidelity) -> None:
    with pytest.raises(ParityError, match=r"natural text: in .*KL <= .*another precision .*--calibration FILE"):
        check_fidelity(found, Recipe(precision=precision))
    check_fidelity(found.model_copy(update={"trained": False}), Recipe(precision=precision))


def test_faithful_bundles_pass() -> None:
    check_fidelity(fidelity(0.0077, 0.95), Recipe(precision="int8"))
    check_fidelity(fidelity(0.05, 0.87), Recipe(precision="int4"))
    check_fidelity(fidelity(0.15, 0.79), Recipe(precision="int4_small"))
    check_fidelity(fidelity(0.0077, 0.95, decode_kl=0.05), Recipe(precision="mixed"))
    check_fidelity(fidelity(0.015, 0.93), Recipe("cuda", "fp16", "int8"))


def test_what_is_asked_for_holds_for_any_model() -> None:
    check_fidelity(fidelity(0.009, trained=False), Recipe(precision="int4"), max_kl=0.01)
    with pytest.raises(ParityError, match=r"0\.0110 nats a token, asked for 0\.01"):
        check_fidelity(fidelity(0.011, trained=False), Recipe(precision="int4"), max_kl=0.01)


def test_vectors_are_compared_one_by_one() -> None:
    wanted = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    found = compare_vectors(wanted, np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]], np.float32))
    assert (found.vectors, found.least_cosine) == (3, pytest.approx(math.sqrt(0.5)))
    assert found.cosine == pytest.approx((2 + math.sqrt(0.5)) / 3)
    with pytest.raises(ParityError, match=r"0\.90237 in the mean and 0\.70711 at least.*int8 asks for 0\.995"):
        check_vectors(found, "int8")
    check_vectors(VectorFidelity(vectors=3, cosine=0.9994, least_cosine=0.998), "int8")


# -- bundles


@pytest.fixture(scope="module")
def trained() -> Any:
    """A tiny Llama that has read both texts until it knows them: what a trained model looks like from outside."""
    model = make_llama(initializer_range=0.05).train()
    ids = torch.tensor(encode(verification_text() + calibration_text()[:4000]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        starts = torch.randint(0, len(ids) - 97, (8,), generator=generator)
        batch = torch.stack([ids[start : start + 97] for start in starts])
        loss = model(batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def test_a_trained_model_is_told_and_its_bundle_says_how_far_off_it_is(trained: Any, tmp_path: Path) -> None:
    manifest = export_model(trained, make_tokenizer().to_str(), tmp_path / "b", recipe=Recipe(precision="int8"))
    found = manifest.parity.fidelity
    assert found is not None
    assert found.trained
    assert found.prompt.positions > 1000
    assert found.decode.positions >= 256
    assert 0 < found.prompt.kl < LIMITS["int8"][0].kl
    assert abs(found.prompt.nll - found.prompt.reference_nll) < 0.02
    assert read_any_manifest(tmp_path / "b") == manifest


def test_a_damaged_bundle_of_a_trained_model_is_refused(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost scale of the logits, which leaves their cosine and every greedy token as they are, but no probability."""
    rewrite = graphs.rewrite  # type: ignore[attr-defined]

    def rewrite_and_damage(model: ir.Model, *args: Any, **keywords: Any) -> None:
        rewrite(model, *args, **keywords)
        head = [node for node in model.graph if node.op_type == "MatMul"][-1].inputs[1]
        assert head is not None
        assert head.const_value is not None
        weight = head.const_value.numpy()
        head.const_value = ir.Tensor((weight * np.float32(0.5)).astype(weight.dtype), name=head.name)

    monkeypatch.setattr(graphs, "rewrite", rewrite_and_damage)
    with pytest.raises(ParityError, match=r"natural text: in prompts, .* int8 allows KL <= 0\.02"):
        export_model(trained, make_tokenizer().to_str(), tmp_path / "b", recipe=Recipe(precision="int8"))
    assert list(tmp_path.iterdir()) == []


def test_decode_rows_of_mixed_are_measured_with_their_own_graph(tmp_path: Path) -> None:
    manifest = export_model(make_llama(), make_tokenizer().to_str(), tmp_path / "b", recipe=Recipe(precision="mixed"))
    found = manifest.parity.fidelity
    assert found is not None
    assert not found.trained
    assert found.decode.kl > 5 * found.prompt.kl
    assert found.kl == found.decode.kl


def test_target_cuda_is_measured_through_its_reference(tmp_path: Path) -> None:
    manifest = export_model(make_llama(), make_tokenizer().to_str(), tmp_path / "b", recipe=Recipe("cuda", "fp16"))
    found = manifest.parity.fidelity
    assert found is not None
    assert 0 < found.prompt.kl < 1e-3
    assert 0 < found.decode.kl < 1e-3


def test_bundles_of_older_exporters_are_read() -> None:
    shown: Any = read_any_manifest(DEMO)
    assert shown.recipe == ()
    assert Parity.model_validate(shown.parity.model_dump(exclude={"fidelity", "vectors"})).fidelity is None
