"""Plans bundles of vision models: image classification, and image embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from attendant.bundle import EmbeddingHead, ImageInput, PatchInput
from attendant.bundle.graph_io import EMBEDDING, IMAGES, PATCHES, ROW_LOGITS, ports_of, symbols_of

from attendant_export.attention.reference import Look
from attendant_export.encoders.attention import EncoderAttention
from attendant_export.encoders.fusible import is_fusible
from attendant_export.encoders.patches import patch_keywords, patch_samples, patched_positions
from attendant_export.encoders.plan import EncoderCase, EncoderPlan, Floats
from attendant_export.encoders.sentence_transformers import read_sentence_model
from attendant_export.encoders.text_plan import labels_of, problem_of
from attendant_export.encoders.trace import EncoderSpec, Feeds
from attendant_export.encoders.vision_input import image_input, load_processor, patch_input
from attendant_export.errors import UnsupportedModel, failures_of
from attendant_export.precision import in_dtype
from attendant_export.source.folder import CONFIG_FILE, SourceFolder

_PIXELS = IMAGES.pixel_values
ImageTask = Literal["classify_image", "embed_image"]

_FIRST_TOKEN = ("vit", "deit", "beit", "data2vec-vision", "vit_msn")
"""Families whose pooling is not trained, in most folders; their first token stands for the image."""
_MEAN = ("ijepa",)
_PROJECTED = {"clip_vision_model": "CLIPVisionModelWithProjection"}
_COMPARED = ("clip_vision_model", "siglip_vision_model")
"""Towers whose embeddings are compared by their angle, so that their length means nothing."""


class VisionModule(torch.nn.Module):  # type: ignore[misc]
    """An :class:`~attendant_export.encoders.trace.EncoderModule`: pixel_values [rows, 3, height, width], or [rows,
    max_patches, patch_values] with spatial_shapes [rows, 2], to logits or an embedding, [rows, width].

    Args:
        plain: run the model as it is, which takes one row at a time where images keep their shape.
    """

    def __init__(self, model: Any, task: ImageTask, *, plain: bool = False) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.plain = plain
        self.attention = EncoderAttention(str(model.config.model_type))

    def forward(self, feeds: Feeds) -> torch.Tensor:
        """See the class."""
        self.attention.start()
        given = patch_keywords(feeds) if PATCHES.spatial_shapes.name in feeds else dict(feeds)
        given[_PIXELS.name] = given[_PIXELS.name].to(self.model.dtype)
        with nullcontext() if self.plain else patched_positions(self.model):
            if self.task == "embed_image" and _has_texts(self.model):
                return _embedding(self.model.get_image_features(**given), self.attention.architecture)
            output = self.model(**given)
        return output.logits if self.task == "classify_image" else _embedding(output, self.attention.architecture)


def plan_vision(folder: SourceFolder, task: ImageTask) -> EncoderPlan:
    """The plan of a model folder.

    Raises:
        SourceError: a file is missing or cannot be read.
        UnsupportedModel: the model or its image processor does something that a bundle has no place for.
    """
    sentence = read_sentence_model(folder)
    folder = folder if sentence is None else sentence.transformer
    processor = load_processor(folder)
    return plan_images(_load(folder, task), processor, task)


def plan_images(model: Any, processor: Any, task: ImageTask) -> EncoderPlan:
    """The plan of a model and an image processor of transformers that are in memory.

    Args:
        model: float32, eager attention, in eval mode.

    Raises:
        UnsupportedModel: see :func:`plan_vision`.
    """
    architecture = str(model.config.model_type)
    patches = patch_input(processor, architecture)
    takes: ImageInput | PatchInput = patches or image_input(processor, architecture)
    samples = _samples(takes)
    module = VisionModule(model, task).eval()
    if _has_texts(model) and not hasattr(model, "vision_model"):
        raise UnsupportedModel(architecture, "what it sees goes among its words, and is no vector of an image")
    with failures_of(architecture), torch.no_grad():
        plain = VisionModule(model, task, plain=True).eval()
        wanted = np.concatenate([_run(plain, samples, row) for row in range(len(samples[_PIXELS.name]))])
    fused = is_fusible(module, samples, torch.from_numpy(wanted))
    output = ROW_LOGITS if task == "classify_image" else EMBEDDING
    ports = (*ports_of(PATCHES if patches else IMAGES), output)

    def spec(dtype: torch.dtype) -> EncoderSpec:
        cast = in_dtype(model, dtype)
        return EncoderSpec(VisionModule(cast, task).eval(), cast, samples, output.name, symbols_of(*ports), fused)

    return EncoderPlan(
        task=task,
        architecture=architecture,
        input=takes,
        layout="equal",
        spec=spec,
        cases=lambda: _cases(samples, wanted),
        labels=labels_of(model) if task == "classify_image" else (),
        problem=problem_of(model) if task == "classify_image" else "single_label",
        look=None if patches else lambda: Look(_tower(model), {_PIXELS.name: samples[_PIXELS.name][:1].numpy()}),
        embedding=_head(model, wanted.shape[-1]) if task == "embed_image" else None,
    )


def _load(folder: SourceFolder, task: ImageTask) -> Any:
    model_type = str(folder.json(CONFIG_FILE).get("model_type"))
    if task == "classify_image":
        return folder.pretrained("AutoModelForImageClassification")
    return folder.pretrained(_PROJECTED.get(model_type, "AutoModel"), ("pooler",) if model_type in _FIRST_TOKEN else ())


def _tower(model: Any) -> Any:
    """The part that sees."""
    return model.vision_model if _has_texts(model) else model


def _has_texts(model: Any) -> bool:
    """Whether texts have embeddings in the same space, which cosines compare."""
    return hasattr(model, "get_image_features")


def _embedding(output: Any, architecture: str) -> torch.Tensor:
    """[rows, width] of a model's output."""
    if architecture in _FIRST_TOKEN:
        first: torch.Tensor = output.last_hidden_state[:, 0]
        return first
    if architecture in _MEAN:
        mean: torch.Tensor = output.last_hidden_state.mean(dim=1)
        return mean
    found = getattr(output, "image_embeds", None)
    found = getattr(output, "pooler_output", None) if found is None else found
    if not isinstance(found, torch.Tensor):
        raise UnsupportedModel(architecture, "it gives no vector for an image as a whole")
    return found.flatten(1)


def _head(model: Any, width: int) -> EmbeddingHead:
    compared = _has_texts(model) or model.config.model_type in _COMPARED
    return EmbeddingHead(pooling=None, dimensions=width, normalise=compared)


def _samples(takes: ImageInput | PatchInput, rows: int = 3) -> dict[str, torch.Tensor]:
    """What the model takes of some rows: coloured clouds with some noise, scaled as the model's images are."""
    if isinstance(takes, PatchInput):
        return patch_samples(takes)
    generator = torch.Generator().manual_seed(0)
    clouds = torch.rand((rows, 3, 6, 6), generator=generator)
    large = torch.nn.functional.interpolate(clouds, (takes.height, takes.width), mode="bilinear")
    noise = torch.rand((rows, 3, takes.height, takes.width), generator=generator)
    colours = (0.8 * large + 0.2 * noise).numpy() * 255 * takes.rescale
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (takes.mean, takes.std))
    return {_PIXELS.name: torch.from_numpy(np.ascontiguousarray((colours - mean) / std, np.float32))}


def _run(module: VisionModule, samples: Feeds, row: int) -> Floats:
    """[1, width] float32, of one row."""
    feeds = {name: value[row : row + 1] for name, value in samples.items()}
    found: Floats = module(feeds).float().numpy()
    return found


def _cases(samples: Feeds, wanted: Floats) -> Sequence[EncoderCase]:
    def case(name: str, rows: slice) -> EncoderCase:
        feeds = {key: value[rows].numpy() for key, value in samples.items()}
        return EncoderCase(name, feeds, wanted[rows], lambda output: output)

    return case("batch", slice(None)), case("single", slice(1))
