"""Bundles give the attention that torch's eager attention has, however it gets there, and say how far off it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from attendant.bundle import MANIFEST_FILE, Manifest, read_any_manifest, read_manifest, verify_files
from attendant.core.attention import AttentionSubject
from attendant.core.source import Source
from attendant.models.attention import attention_of
from attendant_export.attention.choice import MAX_ERROR, add_attention
from attendant_export.attention.reference import Look
from attendant_export.cli import main
from attendant_export.drafts import Order
from attendant_export.encoders.export import Encoder
from attendant_export.errors import AttentionError
from attendant_export.export import export_bundle, export_model
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe
from attendant_export.seq2seq.export import EncoderDecoder

from tests.bundles import make_llama, make_llama_bundle, make_llama_source, make_tokenizer
from tests.export.architectures import build
from tests.export.encoder_families import make_model
from tests.export.encoder_measure import make_plan
from tests.export.seq2seq_measure import Subject
from tests.export.test_vision import families, folder_of, random_model

Array = npt.NDArray[Any]
Layers = Mapping[str, list[Array]]
IDS = np.random.default_rng(2).integers(3, 250, 90)


def seen_by(bundle: Path, subject: AttentionSubject) -> tuple[Layers, Array]:
    """What the server's runs give, put together: weights [heads, queries, keys] of each layer, hidden states."""
    model = attention_of(bundle, read_any_manifest(bundle), 1)
    assert model is not None
    found: dict[str, list[list[Array]]] = {}
    hidden = []
    for run in model.runs(subject):
        for part in run.parts:
            layers = found.setdefault(part.kind, [])
            layers.extend([] for _ in range(part.layer + 1 - len(layers)))
            layers[part.layer].append(part.weights)
        if run.hidden is not None:
            hidden.append(run.hidden)
    return {kind: [joined(rows) for rows in layers] for kind, layers in found.items()}, np.concatenate(hidden)


def joined(rows: list[Array]) -> Array:
    keys = max(each.shape[2] for each in rows)
    return np.concatenate([np.pad(each, ((0, 0), (0, 0), (0, keys - each.shape[2]))) for each in rows], axis=1)


def plain(layers: Any) -> list[Array]:
    return [layer[0].numpy() for layer in layers]


def worst(found: list[Array], wanted: list[Array]) -> float:
    assert [each.shape for each in found] == [each.shape for each in wanted]
    return max(float(np.abs(one - other).max()) for one, other in zip(found, wanted, strict=True))


def tensors(**arrays: Array) -> dict[str, Any]:
    return {name: torch.from_numpy(array)[None] for name, array in arrays.items()}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama_bundle(tmp_path_factory.mktemp("llama") / "b", "fp32")


def check_decoder(bundle: Path, model: Any) -> None:
    with torch.no_grad():
        output = model(**tensors(input_ids=IDS), output_attentions=True, output_hidden_states=True)
    weights, hidden = seen_by(bundle, AttentionSubject({"input_ids": IDS}))
    assert worst(weights["self"], plain(output.attentions)) <= MAX_ERROR
    np.testing.assert_allclose(hidden, output.hidden_states[-1][0].numpy(), atol=1e-4)


def test_a_decoder_gives_it_in_chunks(llama: Path) -> None:
    manifest = read_manifest(llama)

    check_decoder(llama, make_llama())
    assert manifest.attention is not None
    assert (manifest.attention.origin, len(manifest.attention.kinds)) == ("fused", 1)
    assert manifest.attention.max_abs_error is not None
    assert manifest.attention.max_abs_error <= MAX_ERROR
    verify_files(llama, manifest)
    assert "attention.onnx.data" not in manifest.files


@pytest.mark.parametrize("name", ["gemma2", "gpt_oss"])
def test_windows_caps_and_sinks_of_decoders_are_in_it(name: str, tmp_path: Path) -> None:
    """gpt_oss: what its sinks take is missing from the rows, as it is in torch."""
    model = build(name)
    export_model(model, make_tokenizer().to_str(), tmp_path / "b")

    check_decoder(tmp_path / "b", model)


@pytest.mark.parametrize("name", ["t5", "bart", "whisper"])
def test_an_encoder_decoder_gives_all_three_kinds(name: str, tmp_path: Path) -> None:
    subject = Subject(name, tmp_path / "b")
    row = subject.rows[0]
    answer = np.array([subject.model.generation_config.decoder_start_token_id, *IDS[:30] % 200 + 8])
    read = "input_features" if name == "whisper" else "input_ids"
    length = 0 if name == "whisper" else len(row)
    with torch.no_grad():
        output = subject.model(
            **tensors(**{read: row, "decoder_input_ids": answer}), use_cache=False, output_attentions=True
        )

    source = Source({read: row}, length)
    weights, _ = seen_by(tmp_path / "b", AttentionSubject({"input_ids": answer}, source))

    # T5 does not scale its scores, which random weights make large.
    allowed = 4 * MAX_ERROR if name == "t5" else MAX_ERROR
    assert worst(weights["encoder"], plain(output.encoder_attentions)) <= allowed
    assert worst(weights["self"], plain(output.decoder_attentions)) <= allowed
    assert worst(weights["cross"], plain(output.cross_attentions)) <= allowed
    assert subject.manifest.attention is not None
    assert subject.manifest.attention.frame_s == (0.02 if name == "whisper" else None)


@pytest.mark.parametrize(("name", "choice"), [("bert", "auto"), ("modernbert", "auto"), ("deberta_v2", "eager")])
def test_an_encoder_of_text_gives_it(name: str, choice: Any, tmp_path: Path) -> None:
    model, ids = make_model(name, "embed"), IDS[:40] % 90 + 5
    order = Order(tmp_path / "b", "m", attention=choice)
    manifest = export(Encoder(make_plan(name, "embed")), [Recipe()], order)
    with torch.no_grad():
        output = model(**tensors(input_ids=ids), output_attentions=True)

    weights, hidden = seen_by(tmp_path / "b", AttentionSubject({"input_ids": ids}))

    assert worst(weights["self"], plain(output.attentions)) <= MAX_ERROR
    np.testing.assert_allclose(hidden, output.last_hidden_state[0].numpy(), atol=1e-4)
    assert manifest.attention is not None
    assert manifest.attention.origin == ("eager" if choice == "eager" else "fused")
    assert ("attention.onnx.data" in manifest.files) == (choice == "eager")
    verify_files(tmp_path / "b", manifest)


@pytest.mark.parametrize("name", ["vit", "siglip"])
def test_patches_of_an_image_look_at_each_other(name: str, tmp_path: Path) -> None:
    kind, config, task, *_ = families()[name]
    pixels = np.random.default_rng(1).standard_normal((3, 32, 32)).astype(np.float32)
    manifest = export_bundle(folder_of(name, tmp_path / "m"), tmp_path / "b", task=task)
    with torch.no_grad():
        output = random_model(kind, config)(**tensors(pixel_values=pixels), output_attentions=True)

    weights, hidden = seen_by(tmp_path / "b", AttentionSubject({"pixel_values": pixels}))

    assert worst(weights["self"], plain(output.attentions)) <= MAX_ERROR
    assert manifest.attention is not None
    patches = manifest.attention.patches
    assert patches is not None
    assert (patches.rows, patches.columns, patches.num_prefix) == (4, 4, 1 if name == "vit" else 0)
    assert len(hidden) == 16 + patches.num_prefix


def test_a_graph_of_its_own_reads_a_whole_prompt(tmp_path: Path) -> None:
    model = make_llama()
    manifest = export_model(model, make_tokenizer().to_str(), tmp_path / "b", attention="eager")

    check_decoder(tmp_path / "b", model)
    assert manifest.attention is not None
    assert manifest.attention.origin == "eager"


def test_a_graph_of_its_own_reads_a_source_and_an_answer(tmp_path: Path) -> None:
    subject = Subject("bart", tmp_path / "b")
    order = Order(tmp_path / "e", "m", attention="eager")
    export(EncoderDecoder(subject.source), [Recipe()], order)
    row, answer = subject.rows[0], IDS[:30] % 200 + 8
    with torch.no_grad():
        output = subject.model(
            **tensors(input_ids=row, decoder_input_ids=answer), use_cache=False, output_attentions=True
        )

    source = Source({"input_ids": row}, len(row))
    weights, hidden = seen_by(tmp_path / "e", AttentionSubject({"input_ids": answer}, source))

    assert worst(weights["encoder"], plain(output.encoder_attentions)) <= MAX_ERROR
    assert worst(weights["self"], plain(output.decoder_attentions)) <= MAX_ERROR
    assert worst(weights["cross"], plain(output.cross_attentions)) <= MAX_ERROR
    assert len(hidden) == len(answer)


def test_a_graph_of_its_own_reads_an_image(tmp_path: Path) -> None:
    kind, config, task, *_ = families()["vit"]
    pixels = np.random.default_rng(1).standard_normal((3, 32, 32)).astype(np.float32)
    export_bundle(folder_of("vit", tmp_path / "m"), tmp_path / "b", task=task, attention="eager")
    with torch.no_grad():
        output = random_model(kind, config)(**tensors(pixel_values=pixels), output_attentions=True)

    weights, _ = seen_by(tmp_path / "b", AttentionSubject({"pixel_values": pixels}))

    assert worst(weights["self"], plain(output.attentions)) <= MAX_ERROR


def without(bundle: Path, folder: Path) -> tuple[Path, Manifest]:
    """A copy that gives no attention."""
    copy = Path(shutil.copytree(bundle, folder))
    manifest = read_any_manifest(copy)
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != "attention"}
    (copy / "attention.onnx").unlink()
    return copy, manifest.model_copy(update={"graphs": graphs, "attention": None})


@pytest.mark.parametrize("choice", ["auto", "fused"])
def test_what_is_not_the_models_is_not_kept(choice: Any, llama: Path, tmp_path: Path) -> None:
    bundle, manifest = without(llama, tmp_path / "b")
    look = Look(make_llama(initializer_range=0.3), {"input_ids": IDS[None, :24]})
    told: list[str] = []

    if choice == "auto":
        assert add_attention(bundle, manifest, look, choice, told.append) is None
        assert told[0].startswith("no attention: its hidden states are not what the model's head takes")
        assert "--attention eager" in told[0]
    else:
        with pytest.raises(AttentionError, match="tiny-llama cannot give its attention so: its hidden states"):
            add_attention(bundle, manifest, look, choice, told.append)
    assert not list(bundle.glob("attention*"))


@pytest.mark.parametrize(("choice", "code"), [("none", 0), ("fused", 2)])
def test_what_is_asked_for_is_done_or_refused(
    choice: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In pages, attention nodes do not hand out weights."""
    target = "cuda" if choice == "fused" else "cpu"
    source = make_llama_source(tmp_path / "m", num_hidden_layers=1)
    arguments = [str(source), str(tmp_path / "b"), "--attention", choice, "--target", target]

    assert main(arguments) == code

    told = capsys.readouterr().err
    if choice == "fused":
        assert "has no attention node of ONNX Runtime's own that hands out weights; --attention eager makes" in told
        assert not (tmp_path / "b").exists()
    else:
        assert '"attention"' not in (tmp_path / "b" / MANIFEST_FILE).read_text(encoding="utf-8")
        assert "attention" not in told
