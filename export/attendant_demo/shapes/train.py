"""Trains the demo model for images: every picture is seen once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import ViTConfig, ViTForImageClassification

from attendant_demo.shapes.draw import LABELS, SIZE, Drawing, drawings
from attendant_demo.training import Optimiser

PATCH = 8


@dataclass(frozen=True)
class TrainSettings:
    """What the run depends on; ``num_threads`` is part of what makes it repeatable."""

    seed: int = 11
    num_threads: int = 1
    num_pictures: int = 88_000
    batch_size: int = 64
    hidden_size: int = 64
    intermediate_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.02


def build_model(settings: TrainSettings) -> ViTForImageClassification:
    """The untrained model, the same for the same seed."""
    torch.manual_seed(settings.seed)
    config = ViTConfig(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    return ViTForImageClassification(config)


def tensors(pictures: Iterable[Drawing]) -> tuple[torch.Tensor, torch.Tensor]:
    """pixel_values [n, 3, SIZE, SIZE] float32 in -1..1, and labels [n] int64."""
    pixels, labels = [], []
    for picture in pictures:
        pixels.append(np.asarray(picture.image).transpose(2, 0, 1))
        labels.append(LABELS.index(picture.label))
    values = torch.from_numpy(np.stack(pixels)).float() / 127.5 - 1
    return values, torch.tensor(labels)


def train(
    model: ViTForImageClassification, settings: TrainSettings, progress: Callable[[str], None] = print
) -> list[float]:
    """Train in place; the loss of each step is returned."""
    torch.set_num_threads(settings.num_threads)
    num_steps = settings.num_pictures // settings.batch_size
    optimiser = Optimiser(
        model,
        num_steps,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        progress=progress,
    )
    model.train()
    for step in range(num_steps):
        pixels, labels = tensors(drawings(f"train {settings.seed} {step}", settings.batch_size))
        logits = model(pixel_values=pixels).logits  # [batch_size, num_labels]
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimiser.step(loss, settings.batch_size * (SIZE // PATCH) ** 2)
    return optimiser.losses
