"""What becomes of an image before a vision model sees it: from the folder's image processor to the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant.bundle import ImageInput, PatchInput

from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.source.folder import SourceFolder

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_STEPS = ("resize", "center_crop", "rescale", "normalize", "pad", "_preprocess")
_PLAIN_STEPS = (  # their own steps differ in maps of labels only
    *("BeitImageProcessorPil", "MobileNetV2ImageProcessorPil", "SegformerImageProcessorPil"),
)
_EFFICIENTNET, _MOBILEVIT = "EfficientNetImageProcessorPil", "MobileViTImageProcessorPil"
# Of those that need torchvision. They scale colours before they resize them, so that nothing is rounded between.
_STAND_INS = {"DINOv3ViTImageProcessor": "ViTImageProcessorPil"}
_CROPPED_BELOW = 384  # ConvNext
_GREATEST_EDGE = 4096


def load_processor(folder: SourceFolder) -> Any:
    """The image processor of a model folder, of transformers' kind that works with Pillow.

    Raises:
        SourceError: the folder has none, or it cannot be read.
    """
    from transformers import AutoImageProcessor

    config = next((found for file in PREPROCESSOR_FILES if (found := folder.json(file, missing_ok=True))), None)
    if config is None:
        raise SourceError(
            f"{folder.path} has no {PREPROCESSOR_FILES[0]}: nothing says what size and colours its model takes"
        )
    config = config.get("image_processor", config)
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "").removesuffix("Fast")
    try:
        if kind in _STAND_INS:
            stand_in = _class(_STAND_INS[kind]).from_dict(config)
            stand_in.scales_first = True
            return stand_in
        return AutoImageProcessor.from_pretrained(folder.path, backend="pil", local_files_only=True)
    except (OSError, ValueError, ImportError, AttributeError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SourceError(f"{folder.path}: the image processor cannot be loaded: {reason}") from error


def image_input(processor: Any, architecture: str) -> ImageInput:
    """The steps of ``processor`` (of transformers), as the server does them.

    Raises:
        UnsupportedModel: it does something else, or gives images of several sizes.
    """
    kind = type(processor).__name__
    known = (*_PLAIN_STEPS, *_SIZES, _EFFICIENTNET, _MOBILEVIT)
    if kind not in known and (own := _own_steps(type(processor))):
        raise UnsupportedModel(architecture, f"its image processor {kind} has its own {', '.join(own)}")
    sizes = _SIZES.get(kind, _sizes)(processor, architecture)
    if _given(processor, "do_pad"):
        raise UnsupportedModel(architecture, f"its image processor {kind} pads images")
    rounded = not _given(processor, "scales_first")
    if not rounded and sizes.get("resize") != (sizes["height"], sizes["width"]):
        raise UnsupportedModel(architecture, "its image processor cuts what it resized without rounding")
    mean, std = _shift(processor)
    return ImageInput(
        **sizes,
        rounded=rounded,
        resample=int(processor.resample if processor.resample is not None else 2),
        blue_first=kind == _MOBILEVIT and _given(processor, "do_flip_channel_order"),
        rescale=float(processor.rescale_factor) if _given(processor, "do_rescale") else 1.0,
        mean=mean,
        std=std,
    )


def patch_input(processor: Any, architecture: str) -> PatchInput | None:
    """The steps of ``processor`` (of transformers) if it makes patches of images that keep their shape, else None.

    Raises:
        UnsupportedModel: it makes such patches in a way of its own.
    """
    kind = type(processor).__name__
    if kind != "Siglip2ImageProcessorPil":
        return None
    if not _given(processor, "do_resize"):
        raise UnsupportedModel(architecture, f"its image processor {kind} does not resize images")
    mean, std = _shift(processor)
    return PatchInput(
        patch_size=int(processor.patch_size),
        max_patches=int(processor.max_num_patches),
        resample=int(processor.resample if processor.resample is not None else 2),
        rescale=float(processor.rescale_factor) if _given(processor, "do_rescale") else 1.0,
        mean=mean,
        std=std,
    )


def _sizes(processor: Any, architecture: str) -> dict[str, Any]:
    """The fields of :class:`ImageInput` about sizes."""
    size, crop = dict(processor.size or {}), dict(processor.crop_size or {})
    crops = _given(processor, "do_center_crop") and type(processor).__name__ != "SegformerImageProcessorPil"
    resizes = _given(processor, "do_resize")
    sizes: dict[str, Any] = {}
    if resizes and set(size) == {"height", "width"}:
        sizes = {"resize": (size["height"], size["width"])}
    elif resizes and set(size) == {"shortest_edge"} and crops:
        sizes = {"shortest_edge": size["shortest_edge"]}
    elif resizes or not crops:
        what = ", ".join(f"{name} {value}" for name, value in size.items()) if resizes else "no size"
        raise UnsupportedModel(architecture, f"its image processor gives images of several sizes ({what})")
    return {**sizes, **_final(crop if crops else size, architecture)}


def _final(size: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The size that the model takes."""
    if set(size) != {"height", "width"} or not all(1 <= edge <= _GREATEST_EDGE for edge in size.values()):
        raise UnsupportedModel(architecture, f"its image processor gives images of the size {size}")
    return {"height": size["height"], "width": size["width"]}


def _convnext_sizes(processor: Any, architecture: str) -> dict[str, Any]:
    edge = dict(processor.size or {}).get("shortest_edge")
    if not isinstance(edge, int) or not _given(processor, "do_resize") or _given(processor, "do_center_crop"):
        raise UnsupportedModel(architecture, f"its image processor gives images of the size {processor.size}")
    if edge >= _CROPPED_BELOW:
        return {"resize": (edge, edge), "height": edge, "width": edge}
    return {"shortest_edge": int(edge / processor.crop_pct), "height": edge, "width": edge}


def _poolformer_sizes(processor: Any, architecture: str) -> dict[str, Any]:
    """The size is of what a part of the edges is cut to, ``crop_pct``."""
    size, part = dict(processor.size or {}), processor.crop_pct
    if part and len(set(size.values())) == 1:
        return _cut_sizes(processor, architecture, int(next(iter(size.values())) / part))
    return _sizes(processor, architecture)


def _levit_sizes(processor: Any, architecture: str) -> dict[str, Any]:
    """The shortest edge is enlarged as for ImageNet."""
    edge = dict(processor.size or {}).get("shortest_edge")
    return _cut_sizes(processor, architecture, int((256 / 224) * edge)) if edge else _sizes(processor, architecture)


def _cut_sizes(processor: Any, architecture: str, edge: int) -> dict[str, Any]:
    """Of images whose shortest edge becomes ``edge``, if they are resized, and which are cut then."""
    crop = dict(processor.crop_size or {})
    if not _given(processor, "do_resize") or not _given(processor, "do_center_crop"):
        return _sizes(processor, architecture)
    return {**_final(crop, architecture), "shortest_edge": edge}


_SIZES = {
    "ConvNextImageProcessorPil": _convnext_sizes,
    "PoolFormerImageProcessorPil": _poolformer_sizes,
    "LevitImageProcessorPil": _levit_sizes,
}
"""What says the sizes, by processors that resize in a way of their own."""


def _shift(processor: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """What is subtracted of each channel, and what it is divided by then."""
    kind = type(processor).__name__
    normalised = _given(processor, "do_normalize") and kind != _MOBILEVIT
    mean = _channels(processor.image_mean if normalised else 0.0)
    std = _channels(processor.image_std if normalised else 1.0)
    if kind != _EFFICIENTNET:
        return mean, std
    offset = 1.0 if _given(processor, "rescale_offset") else 0.0  # subtracted before
    again = _channels(processor.image_std if _given(processor, "include_top") else 1.0)  # divided by after
    red, green, blue = (first * second for first, second in zip(std, again, strict=True))
    return (mean[0] + offset, mean[1] + offset, mean[2] + offset), (red, green, blue)


def _own_steps(kind: type) -> list[str]:
    """The steps that a processor does not take from the class that all have in common."""
    common = _class("image_processing_backends.PilBackend")
    return [step for step in _STEPS if getattr(kind, step, None) is not getattr(common, step, None)]


def _class(name: str) -> Any:
    from attendant_export.toolchain import internal

    module, _, attribute = f"transformers.{name}".rpartition(".")
    return internal(module, attribute)


def _given(processor: Any, flag: str) -> bool:
    return bool(getattr(processor, flag, False))


def _channels(values: float | Sequence[float]) -> tuple[float, float, float]:
    """A number for each channel, of one for all or one for each."""
    given = [values] * 3 if isinstance(values, int | float) else list(values)
    red, green, blue = given if len(given) == 3 else given * 3
    return float(red), float(green), float(blue)
