"""Judges models of images: what the server makes of pictures and the bundle of that, beside transformers' own way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from attendant.bundle import EncoderManifest, ImageInput
from attendant.tasks.images import pixel_values
from attendant_export.export import export_bundle
from PIL import Image

from tests.export.census import making
from tests.export.census.outcome import Judged, NotTried, Wrong, spread_error

_EDGE = 64


def judge(model_type: str, class_name: str, folder: Path) -> Judged:
    """Exports a small model of the class with the image processor of its type, and compares.

    Raises:
        NotTried: no model could be made. ExportError: refused. Wrong: the bundle answers otherwise.
    """
    source = folder / "model"
    classifies = "ImageClassification" in class_name
    making.save(making.make_model(model_type, class_name, **({"num_labels": 4} if classifies else {})), source)
    model = making.loaded(class_name, source)
    size = getattr(getattr(model.config, "vision_config", model.config), "image_size", None) or _EDGE
    processor = image_processor(model_type, size if isinstance(size, int) else size[0])
    processor.save_pretrained(source)
    manifest = export_bundle(source, folder / "bundle", task="classify_image" if classifies else "embed_image")
    assert isinstance(manifest, EncoderManifest)
    if not isinstance(manifest.input, ImageInput):
        raise NotTried("exported, with images in patches, which this census does not make; tests do")
    return _compare(model, processor, manifest, folder / "bundle")


def image_processor(model_type: str, edge: int) -> Any:
    """The one of a type, for images of ``edge`` x ``edge``; ViT's where a type has none that works with Pillow.

    Raises:
        NotTried: it cannot be made.
    """
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    square = {"height": edge, "width": edge}
    found = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type) or {}
    name = found.get("pil") if isinstance(found, dict) else None
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    kind = kind or transformers.ViTImageProcessorPil
    try:
        size = getattr(kind, "size", None) or square
        given = {"shortest_edge": edge} if "shortest_edge" in size else square
        return kind(size=given, crop_size=square) if getattr(kind, "crop_size", None) else kind(size=given)
    except Exception as error:
        raise NotTried(f"no {kind.__name__} can be made: {type(error).__name__}: {error}") from error


def _compare(model: Any, processor: Any, manifest: EncoderManifest, bundle: Path) -> Judged:
    assert isinstance(manifest.input, ImageInput)
    path = bundle / manifest.graphs["encoder"].file
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(0)
    values, alone, wanted = [], [], []
    for _ in range(3):
        rough = draw.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(rough).resize((70, 50), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        values.append(pixel_values(stream.getvalue(), manifest.input, "images[0]"))
        alone.append(session.run(None, {"pixel_values": values[-1][None]})[0][0])
        given = processor(images=picture, return_tensors="pt")["pixel_values"]
        wanted.append(_nearest(alone[-1], _vectors(model, given, manifest.task == "classify_image")))
    together = session.run(None, {"pixel_values": np.stack(values)})[0]
    exact = all(map(np.array_equal, alone, together))
    error = max(spread_error(alone, wanted), spread_error(list(together), wanted))
    return Judged(error, "" if exact else "close, not equal, in company")


def _nearest(found: Any, vectors: list[Any]) -> Any:
    """The one of the model's vectors that the bundle gives."""
    fitting = [vector for vector in vectors if vector.shape == found.shape]
    if not fitting:
        raise Wrong(f"a vector of {len(found)} numbers, which the model does not give")
    return min(fitting, key=lambda vector: float(np.abs(found - vector).max()))


def _vectors(model: Any, pixels: torch.Tensor, classifies: bool) -> list[Any]:
    """Logits [labels]; or what may stand for an image, [width]: the pooled output, the first token, the mean."""
    with torch.no_grad():
        if not classifies and hasattr(model, "get_image_features"):
            features = model.get_image_features(pixel_values=pixels)
            return [getattr(features, "pooler_output", features)[0].flatten().numpy()]
        output = model(pixel_values=pixels)
    if classifies:
        return [output.logits[0].numpy()]
    pooled = [getattr(output, name, None) for name in ("image_embeds", "pooler_output")]
    found = [vector[0].flatten() for vector in pooled if isinstance(vector, torch.Tensor)]
    hidden = getattr(output, "last_hidden_state", None)
    if isinstance(hidden, torch.Tensor) and len(hidden.shape) == len("rti"):  # rows, tokens, width
        found += [hidden[0, 0], hidden[0].mean(0)]
    return [vector.numpy() for vector in found]
