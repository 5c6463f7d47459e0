"""Image processors of transformers: the server makes of images what they make, or they are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant.tasks.images import pixel_values
from attendant_export.encoders.vision_input import image_input, load_processor
from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.source.folder import SourceFolder
from PIL import Image

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
    "mobilenet": {"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 40}, "crop_size": 32},
    "segformer": {"feature_extractor_type": "SegformerFeatureExtractor", "size": 32},
    "mobilevit": {"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 36}, "crop_size": 32},
    "mobilevit in red": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 36},
        "crop_size": 32,
        "do_flip_channel_order": False,
        "do_normalize": True,
    },
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.47853944, 0.4732864, 0.47434163],
        "resample": 0,
    },
    "efficientnet without its top": {
        "image_processor_type": "EfficientNetImageProcessor",
        "size": 40,
        "crop_size": 32,
        "do_center_crop": True,
        "include_top": False,
        "rescale_offset": True,
        "rescale_factor": 1 / 127.5,
    },
    "poolformer": {"image_processor_type": "PoolFormerImageProcessor", "size": 32, "crop_size": 32, "crop_pct": 0.95},
    "poolformer of two edges": {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": {"height": 32, "width": 32},
        "crop_size": 30,
    },
    "levit": {"image_processor_type": "LevitImageProcessor", "size": 28, "crop_size": 28, "resample": 3},
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
        ({"image_processor_type": "PerceiverImageProcessor"}, "has its own"),
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
