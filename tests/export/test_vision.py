"""Vision models: bundles that compute what torch computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import transformers
from attendant.bundle import EncoderManifest, PatchInput, read_any_manifest, verify_files
from attendant_export.encoders.export import encoder_graph
from attendant_export.encoders.vision import plan_images, plan_vision
from attendant_export.errors import UnsupportedModel
from attendant_export.export import export_bundle
from attendant_export.recipe import Recipe
from attendant_export.source.folder import SourceFolder

from tests.export import encoders_doc
from tests.export.equal_rows_measure import make_image_plan, measure_equal_rows
from tests.export.image_families import scattered

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}
WINDOWS = {"image_size": 32, "patch_size": 4, "embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
LABELS = {"id2label": {0: "cat", 1: "dog", 2: "newt", 3: "owl"}, "label2id": {"cat": 0, "dog": 1, "newt": 2, "owl": 3}}

# Class, config, task, number of fused attention nodes, columns of the output.
Family = tuple[str, Any, str, int, int]


def families() -> dict[str, Family]:
    tr = transformers
    both = {"vision_config": SMALL, "text_config": {"hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 99}}
    convolutions = {"hidden_sizes": [32, 64], "depths": [1, 1], "num_stages": 2}
    return {
        "vit": ("ViTForImageClassification", tr.ViTConfig(**SMALL, **LABELS), "classify_image", 1, 4),
        "vit embedding": ("ViTForImageClassification", tr.ViTConfig(**SMALL, **LABELS), "embed_image", 1, 64),
        "deit": ("DeiTForImageClassification", tr.DeiTConfig(**SMALL, **LABELS), "classify_image", 1, 4),
        "dinov2 embedding": ("Dinov2Model", tr.Dinov2Config(**SMALL), "embed_image", 1, 64),
        "dinov3 embedding": ("DINOv3ViTModel", tr.DINOv3ViTConfig(**SMALL), "embed_image", 1, 64),
        "clip": ("CLIPModel", tr.CLIPConfig(**both, projection_dim=48), "embed_image", 1, 48),
        "siglip": ("SiglipVisionModel", tr.SiglipVisionConfig(**SMALL), "embed_image", 1, 64),
        "swin": ("SwinForImageClassification", tr.SwinConfig(**WINDOWS, **LABELS), "classify_image", 0, 4),
        "convnext": (
            "ConvNextForImageClassification",
            tr.ConvNextConfig(**convolutions, **LABELS),
            "classify_image",
            0,
            4,
        ),
    }


def random_model(kind: str, config: Any) -> Any:
    torch.manual_seed(0)
    config._attn_implementation = "eager"
    model = getattr(transformers, kind)(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return model


def folder_of(name: str, folder: Path) -> Path:
    """A model folder with an image processor."""
    kind, config, *_ = families()[name]
    random_model(kind, config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", families())
def test_a_bundle_computes_what_torch_computes(name: str, tmp_path: Path) -> None:
    _, _, task, attention, width = families()[name]
    source, out = folder_of(name, tmp_path / "model"), tmp_path / "bundle"
    manifest = export_bundle(source, out, task=task)
    assert isinstance(manifest, EncoderManifest)
    assert manifest == read_any_manifest(out)
    verify_files(out, manifest)
    assert (manifest.task, manifest.layout, manifest.precision) == (task, "equal", "fp32")
    assert manifest.parity.max_abs_error < 1e-4
    assert manifest.labels == (("cat", "dog", "newt", "owl") if task == "classify_image" else ())
    assert (manifest.embedding is not None) == (task == "embed_image")
    graph = manifest.graphs["encoder"]
    assert [(spec.name, spec.shape) for spec in graph.inputs] == [("pixel_values", ("num_rows", 3, 32, 32))]
    output = "logits" if task == "classify_image" else "embedding"
    assert [(spec.name, spec.shape) for spec in graph.outputs] == [(output, ("num_rows", width))]
    ops = Counter(node.op_type for node in ir.load(out / graph.file).graph)
    assert ops["MultiHeadAttention"] == attention


@pytest.mark.parametrize(("name", "head"), encoders_doc.names_of_images())
def test_images_run_together_as_documented(name: str, head: str) -> None:
    found, documented = measure_equal_rows(make_image_plan(name, head)), encoders_doc.read()[name, head]
    assert found.error <= documented.error_below
    assert (found.layout, found.attention, found.nodes) == ("equal", *documented.counts)
    assert found.exact
    assert documented.exact


@pytest.fixture(scope="module")
def vit_plan() -> Any:
    kind, config, *_ = families()["vit"]
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    return plan_images(random_model(kind, config), processor, "classify_image")


def is_rotation(product: ir.Node) -> bool:
    weight = product.inputs[1]
    assert weight is not None
    return (weight.name or "").startswith("rotation_")


def test_a_row_of_int8_is_the_same_in_any_batch(vit_plan: Any, tmp_path: Path) -> None:
    graph, _ = encoder_graph(vit_plan, Recipe(precision="int8"))
    ops = Counter(node.op_type for node in graph.graph)
    assert ops["MatMulIntegerToFloat"] > 0
    plain = [node for node in graph.graph if node.op_type == "MatMul" and not is_rotation(node)]
    assert len(plain) == 1  # the head, whose four columns save nothing
    ir.save(graph, tmp_path / "encoder.onnx")
    session = ort.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).standard_normal((5, 3, 32, 32)).astype(np.float32)
    together = session.run(None, {"pixel_values": pixels})[0]
    for row in range(len(pixels)):
        alone = session.run(None, {"pixel_values": pixels[row : row + 1]})[0]
        assert np.abs(alone - together[row]).max() < 1e-5


def test_a_graph_for_cuda_is_in_half_precision(vit_plan: Any) -> None:
    graph, _ = encoder_graph(vit_plan, Recipe("cuda", "fp16"))
    assert {value.dtype for value in (*graph.graph.inputs, *graph.graph.outputs)} == {ir.DataType.FLOAT}
    weights = [value for value in graph.graph.initializers.values() if value.shape is not None and len(value.shape) > 1]
    assert {value.dtype for value in weights} == {ir.DataType.FLOAT16}


def test_clip_embeddings_have_their_length_divided_away_and_those_of_dinov2_have_not(tmp_path: Path) -> None:
    clip = plan_vision(SourceFolder(folder_of("clip", tmp_path / "clip")), "embed_image")
    dino = plan_vision(SourceFolder(folder_of("dinov2 embedding", tmp_path / "dino")), "embed_image")
    assert clip.embedding is not None
    assert dino.embedding is not None
    assert (clip.embedding.normalise, clip.embedding.dimensions, clip.embedding.pooling) == (True, 48, None)
    assert (dino.embedding.normalise, dino.embedding.dimensions) == (False, 64)


def test_a_processor_of_another_size_than_the_model_is_refused(tmp_path: Path) -> None:
    kind, config, *_ = families()["vit"]
    processor = transformers.ViTImageProcessorPil(size={"height": 48, "width": 48})
    with pytest.raises(UnsupportedModel, match="48"):
        plan_images(random_model(kind, config), processor, "classify_image")


PATCHES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8, "num_patches": 16}


@pytest.mark.parametrize("head", ["embed_image", "classify_image"])
def test_siglip2_takes_images_in_their_own_shapes(head: Literal["embed_image", "classify_image"]) -> None:
    """In patches, of which it has 16 positions and is given up to 30."""
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=30)
    if head == "embed_image":
        model = scattered("Siglip2VisionModel", transformers.Siglip2VisionConfig(**PATCHES))
    else:
        text = {"hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 99, "num_attention_heads": 4}
        both = transformers.Siglip2Config(vision_config=PATCHES, text_config=text, **LABELS)
        model = scattered("Siglip2ForImageClassification", both)
    plan = plan_images(model, processor, head)
    assert isinstance(plan.input, PatchInput)
    assert (plan.input.patch_size, plan.input.max_patches) == (8, 30)
    found = measure_equal_rows(plan)
    assert found.error < 1e-5
    assert found.exact


@pytest.mark.parametrize("shape", [(1, 1), (5, 6), (2, 3), (9, 3), (1, 7), (4, 4)])
def test_positions_are_resized_as_torch_resizes_them(shape: tuple[int, int]) -> None:
    from attendant_export.encoders.patches import resized_positions
    from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

    table = torch.randn(4, 4, 8, generator=torch.Generator().manual_seed(0))
    shapes = torch.tensor([shape])
    wanted = Siglip2VisionEmbeddings.resize_positional_embeddings(table, shapes, 30)
    count = shape[0] * shape[1]
    assert (resized_positions(table, shapes, 30) - wanted)[0, :count].abs().max() < 1e-6
