"""What becomes of an image before a vision model sees it: from the folder's image processor to the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attendant.bundle import ImageInput

from attendant_export.errors import SourceError, UnsupportedModel
from attendant_export.source.folder import SourceFolder

PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_STEPS = ("resize", "center_crop", "rescale", "normalize", "pad", "_preprocess")
_PLAIN_STEPS = ("BeitImageProcessorPil",)  # their own steps differ in maps of labels only
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
    if kind == "ConvNextImageProcessorPil":
        sizes = _convnext_sizes(processor, architecture)
    else:
        if kind not in _PLAIN_STEPS and (own := _own_steps(type(processor))):
            raise UnsupportedModel(architecture, f"its image processor {kind} has its own {', '.join(own)}")
        sizes = _sizes(processor, architecture)
    if _given(processor, "do_pad"):
        raise UnsupportedModel(architecture, f"its image processor {kind} pads images")
    normalised, rounded = _given(processor, "do_normalize"), not _given(processor, "scales_first")
    if not rounded and sizes.get("resize") != (sizes["height"], sizes["width"]):
        raise UnsupportedModel(architecture, "its image processor cuts what it resized without rounding")
    return ImageInput(
        **sizes,
        rounded=rounded,
        resample=int(processor.resample if processor.resample is not None else 2),
        rescale=float(processor.rescale_factor) if _given(processor, "do_rescale") else 1.0,
        mean=_channels(processor.image_mean) if normalised else (0.0, 0.0, 0.0),
        std=_channels(processor.image_std) if normalised else (1.0, 1.0, 1.0),
    )


def _sizes(processor: Any, architecture: str) -> dict[str, Any]:
    """The fields of :class:`ImageInput` about sizes."""
    size, crop = dict(processor.size or {}), dict(processor.crop_size or {})
    resizes, crops = _given(processor, "do_resize"), _given(processor, "do_center_crop")
    sizes: dict[str, Any] = {}
    if resizes and set(size) == {"height", "width"}:
        sizes = {"resize": (size["height"], size["width"])}
    elif resizes and set(size) == {"shortest_edge"} and crops:
        sizes = {"shortest_edge": size["shortest_edge"]}
    elif resizes or not crops:
        what = ", ".join(f"{name} {value}" for name, value in size.items()) if resizes else "no size"
        raise UnsupportedModel(architecture, f"its image processor gives images of several sizes ({what})")
    last = crop if crops else size
    if set(last) != {"height", "width"} or not all(1 <= edge <= _GREATEST_EDGE for edge in last.values()):
        raise UnsupportedModel(architecture, f"its image processor gives images of the size {last}")
    return {**sizes, "height": last["height"], "width": last["width"]}


def _convnext_sizes(processor: Any, architecture: str) -> dict[str, Any]:
    edge = dict(processor.size or {}).get("shortest_edge")
    if not isinstance(edge, int) or not _given(processor, "do_resize") or _given(processor, "do_center_crop"):
        raise UnsupportedModel(architecture, f"its image processor gives images of the size {processor.size}")
    if edge >= _CROPPED_BELOW:
        return {"resize": (edge, edge), "height": edge, "width": edge}
    return {"shortest_edge": int(edge / processor.crop_pct), "height": edge, "width": edge}


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
