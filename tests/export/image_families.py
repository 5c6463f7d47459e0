"""Tiny random models of every family of models that see, with every head that the family has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEADS = ("classify_image", "embed_image")
LABELS: dict[str, Any] = {
    "id2label": {0: "cat", 1: "dog", 2: "newt", 3: "owl"},
    "label2id": {"cat": 0, "dog": 1, "newt": 2, "owl": 3},
}

_LAYERS = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_VIT = {**_LAYERS, "image_size": 32, "patch_size": 8}
_TEXT = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 99}
_BOTH = {"vision_config": _VIT, "text_config": _TEXT}
_NAFLEX = {**_LAYERS, "patch_size": 8, "num_patches": 16}
_SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
_CONVNEXT = {"hidden_sizes": [32, 64], "depths": [1, 1], "num_stages": 2}
_STAGES = {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1]}
_PYRAMID = {**_STAGES, "image_size": 64, "num_attention_heads": [1, 2, 2, 4]}
_RESNET = {**_STAGES, "embedding_size": 16}
_LEVIT = {
    **{"image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1]},
    "key_dim": [8, 8, 8],
}
_HIERA = {
    **{"image_size": [64, 64], "embed_dim": 32, "depths": [1, 1, 1], "num_heads": [1, 2, 4], "num_query_pool": 2},
}
_FOCAL = {"image_size": 32, "embed_dim": 32, "depths": [1, 1], "focal_levels": [2, 2], "focal_windows": [3, 3]}


@dataclass(frozen=True)
class ImageFamily:
    """One family: prefix of its classes in transformers, its config, the edge of its images, and its heads.

    ``bare``: the class for ``embed_image``, where it is not the prefix and Model. ``labelled``: the end of the class
    for ``classify_image``.
    """

    prefix: str
    config_class: str
    config: dict[str, Any]
    size: int
    heads: tuple[str, ...]
    bare: str
    labelled: str

    def class_name(self, head: str) -> str:
        """In transformers."""
        return self.bare or f"{self.prefix}Model" if head == "embed_image" else f"{self.prefix}{self.labelled}"


def _family(prefix: str, config: dict[str, Any], *heads: str, size: int = 32, **more: str) -> ImageFamily:
    defaults = {"config_class": f"{prefix}Config", "bare": "", "labelled": "ForImageClassification"}
    return ImageFamily(prefix=prefix, config=config, size=size, heads=heads or HEADS, **{**defaults, **more})


FAMILIES: dict[str, ImageFamily] = {
    "aimv2": _family("Aimv2Vision", _VIT, "embed_image"),
    "altclip": _family("AltCLIP", _BOTH, "embed_image"),
    "beit": _family("Beit", _VIT),
    "beit_relative": _family("Beit", {**_VIT, "use_relative_position_bias": True}),
    "bit": _family("Bit", {"embedding_size": 32, "hidden_sizes": [32, 64], "depths": [1, 1], "num_groups": 8}),
    "chinese_clip": _family("ChineseCLIP", _BOTH, "embed_image"),
    "clip": _family("CLIP", _BOTH),
    "clip_vision": _family("CLIPVision", _VIT, "embed_image", bare="CLIPVisionModelWithProjection"),
    "convnext": _family("ConvNext", _CONVNEXT),
    "convnextv2": _family("ConvNextV2", _CONVNEXT),
    "data2vec_vision": _family("Data2VecVision", {**_VIT, "use_relative_position_bias": True}),
    "deit": _family("DeiT", _VIT),
    "deit_distilled": _family("DeiT", _VIT, "classify_image", labelled="ForImageClassificationWithTeacher"),
    "dinov2": _family("Dinov2", _VIT),
    "dinov2_with_registers": _family("Dinov2WithRegisters", _VIT),
    "dinov3_vit": _family("DINOv3ViT", {**_VIT, "num_register_tokens": 4}, "embed_image"),
    "dinov3_vit_gated": _family(
        "DINOv3ViT", {**_VIT, "num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"}, "embed_image"
    ),
    "dinov3_convnext": _family("DINOv3ConvNext", _STAGES, "embed_image"),
    "focalnet": _family("FocalNet", _FOCAL),
    "hiera": _family("Hiera", _HIERA, size=64),
    "ijepa": _family("IJepa", _VIT),
    "levit": _family("Levit", _LEVIT, "classify_image", size=64),
    "levit_distilled": _family(
        "Levit", _LEVIT, "classify_image", size=64, labelled="ForImageClassificationWithTeacher"
    ),
    "metaclip_2": _family("MetaClip2", _BOTH),
    "mlcd": _family("MLCDVision", _VIT, "embed_image"),
    "mobilenet_v1": _family("MobileNetV1", {"depth_multiplier": 0.25, "image_size": 32}),
    "mobilenet_v2": _family("MobileNetV2", {"depth_multiplier": 0.25, "image_size": 32}),
    "mobilevit": _family(
        "MobileViT",
        {"image_size": 64, "hidden_sizes": [32, 32, 32], "neck_hidden_sizes": [8, 8, 16, 16, 32, 32, 64]},
        "classify_image",
        size=64,
    ),
    "pixio": _family("Pixio", _VIT, "embed_image"),
    "poolformer": _family("PoolFormer", _STAGES, "classify_image", size=64),
    "pvt": _family("Pvt", {**_PYRAMID, "sequence_reduction_ratios": [8, 4, 2, 1]}, "classify_image", size=64),
    "pvt_v2": _family("PvtV2", _PYRAMID, "classify_image", size=64),
    "regnet": _family("RegNet", {**_RESNET, "groups_width": 8}, size=64),
    "resnet": _family("ResNet", _RESNET, size=64),
    "segformer": _family(
        "Segformer",
        {**_STAGES, "sr_ratios": [8, 4, 2, 1], "num_attention_heads": [1, 2, 2, 4]},
        "classify_image",
        size=64,
    ),
    "siglip": _family("Siglip", _BOTH),
    "siglip_vision": _family("SiglipVision", _VIT, "embed_image"),
    "swiftformer": _family(
        "SwiftFormer",
        {"image_size": 64, "embed_dims": [16, 32, 32, 64], "depths": [1, 1, 1, 1]},
        "classify_image",
        size=64,
    ),
    "swin": _family("Swin", _SWIN),
    "swinv2": _family("Swinv2", _SWIN),
    "tipsv2": _family("Tipsv2Vision", _VIT, "embed_image"),
    "vit": _family("ViT", _VIT),
    "vit_msn": _family("ViTMSN", _VIT),
}


def make_image_model(name: str, head: str) -> Any:
    """A tiny random model with labels, if its head gives some."""
    import transformers

    family = FAMILIES[name]
    labels = LABELS if head == "classify_image" else {}
    config = getattr(transformers, family.config_class)(**{**family.config, **labels})
    return scattered(family.class_name(head), config)


def scattered(kind: str, config: Any) -> Any:
    """A model of a class of transformers, whose weights are far enough from 0 that a fault shows."""
    import torch
    import transformers

    config._attn_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return model
