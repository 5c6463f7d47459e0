"""Vision models: image processors as the server has them, and bundles that compute what torch computes."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
import transformers
from attendant.bundle import EncoderManifest, read_any_manifest, verify_files
from attendant.tasks.images import pixel_values
from attendant_export.encoders.export import encoder_graph
from attendant_export.encoders.vision import plan_images, plan_vision
from attendant_export.encoders.vision_input import image_input, load_processor
from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.export import export_bundle
from attendant_export.recipe import Recipe
from attendant_export.source.folder import SourceFolder
from PIL import Image

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


CONFIGS: dict[str, dict[str, Any]] = {
    "vit of old": {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": 32,
    },
    "clip of old": {
        "crop_size": 32,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48, 0.45, 0.4],
        "image_std": [0.26, 0.26, 0.27],
        "resample": 3,
        "size": 36,
    },
    "deit": {
        "image_processor_type": "DeiTImageProcessor",
        "size": {"height": 40, "width": 40},
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
    },
    "siglip without normalisation": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 32, "width": 24},
        "do_normalize": False,
    },
    "fast": {"image_processor_type": "BitImageProcessorFast", "size": {"shortest_edge": 40}, "crop_size": 32},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 28}, "crop_pct": 0.875},
    "large convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
    "raw bytes": {"image_processor_type": "BeitImageProcessor", "size": 32, "do_rescale": False, "do_normalize": False},
    "of a processor": {
        "processor_class": "CLIPProcessor",
        "image_processor": {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 36},
            "crop_size": {"height": 32, "width": 32},
        },
    },
}


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    file = "processor_config.json" if "image_processor" in config else "preprocessor_config.json"
    (folder / file).write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(70, 50), (20, 33)])
def test_the_server_makes_of_images_what_the_processor_makes(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    processor = load_processor(SourceFolder(write_config(tmp_path, CONFIGS[name])))
    rough = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    found = pixel_values(stream.getvalue(), image_input(processor, "vit"), "images[0]")
    wanted = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0], np.float32)
    assert np.abs(found - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())


DINOV3: dict[str, Any] = {
    "crop_size": None,
    "do_center_crop": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 32, "width": 24},
}


@pytest.mark.parametrize("size", [(70, 50), (20, 33), (24, 32)])
@pytest.mark.parametrize(("resample", "mode"), [(2, "bilinear"), (3, "bicubic")])
def test_a_processor_that_scales_first_resizes_without_rounding(
    resample: int, mode: str, size: tuple[int, int], tmp_path: Path
) -> None:
    spec = image_input(load_processor(SourceFolder(write_config(tmp_path, {**DINOV3, "resample": resample}))), "vit")
    rough = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    found = pixel_values(stream.getvalue(), spec, "images[0]")
    # What transformers' DINOv3ViTImageProcessor has torchvision do, which calls this function of torch.
    scaled = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() * DINOV3["rescale_factor"]
    resized = torch.nn.functional.interpolate(scaled, (32, 24), mode=mode, antialias=True, align_corners=False)[0]
    mean, std = (torch.tensor(DINOV3[name])[:, None, None] for name in ("image_mean", "image_std"))
    assert np.abs(found - ((resized - mean) / std).numpy()).max() < 1e-5


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({**DINOV3, "do_center_crop": True, "crop_size": {"height": 16, "width": 16}}, "cuts what it resized"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "gives images of several sizes"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "gives images of several sizes"),
        ({"image_processor_type": "EfficientNetImageProcessor"}, "has its own"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True, "pad_size": 40}, "pads images"),
    ],
)
def test_a_processor_that_does_something_else_is_refused(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        image_input(load_processor(SourceFolder(write_config(tmp_path, config))), "vit")


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no preprocessor_config\.json"):
        load_processor(SourceFolder(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "NoSuchProcessor"}')
    with pytest.raises(SourceError, match="the image processor cannot be loaded"):
        load_processor(SourceFolder(tmp_path))


def test_a_processor_of_another_size_than_the_model_is_refused(tmp_path: Path) -> None:
    kind, config, *_ = families()["vit"]
    processor = transformers.ViTImageProcessorPil(size={"height": 48, "width": 48})
    with pytest.raises(UnsupportedModel, match="48"):
        plan_images(random_model(kind, config), processor, "classify_image")
