"""How models that encode become bundles, whatever their rows are: the encoders' side of the pipeline."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from attendant.bundle import EncoderManifest, EncoderTask, Parity, Pooling

from attendant_export.attention.reference import Look
from attendant_export.auto import Asked, asked_recipes
from attendant_export.calibration_file import encoding
from attendant_export.drafts import Common, Order, Written
from attendant_export.encoders.passes import rewrite_encoder
from attendant_export.encoders.plan import EncoderPlan
from attendant_export.encoders.projection import projection_model
from attendant_export.encoders.text_plan import TEXT_TASKS, plan_text
from attendant_export.encoders.text_source import load_text
from attendant_export.encoders.trace import trace_encoder
from attendant_export.encoders.verify import verify_encoder
from attendant_export.errors import failures_of
from attendant_export.graph.files import save_graphs
from attendant_export.progress import Progress, silent
from attendant_export.prompts import Encode
from attendant_export.quantisation.quantise import quantise
from attendant_export.recipe import ENCODER_PRECISIONS, Recipe
from attendant_export.source.folder import SourceFolder

# Planners of other rows than text: (folder, task) -> EncoderPlan.
_PLANNERS: dict[EncoderTask, tuple[str, str]] = {
    "classify_image": ("attendant_export.encoders.vision", "plan_vision"),
    "embed_image": ("attendant_export.encoders.vision", "plan_vision"),
    "classify_audio": ("attendant_export.encoders.sounds", "plan_sounds"),
    "transcribe": ("attendant_export.encoders.audio", "plan_audio"),
}


@dataclass(frozen=True)
class Encoders:
    """The kind of models that encode, for ``task``. See :class:`attendant_export.drafts.Kind`.

    Attributes:
        pooling: of task embed; by default what the model's folder says, or the mean.
    """

    task: EncoderTask
    pooling: Pooling | None = None
    takes_context_length: bool = False

    def recipes(self, asked: Asked) -> list[Recipe]:
        """See :meth:`attendant_export.drafts.Kind.recipes`."""
        return asked_recipes(asked, self.task, ENCODER_PRECISIONS)

    def load(self, folder: SourceFolder) -> Encoder:
        """See :meth:`attendant_export.drafts.Kind.load`."""
        with failures_of(str(folder.config.get("model_type"))):
            if self.task in TEXT_TASKS:
                return Encoder(plan_text(load_text(folder, self.task, self.pooling)))
            module, name = _PLANNERS[self.task]
            planner: Callable[[SourceFolder, EncoderTask], EncoderPlan] = getattr(importlib.import_module(module), name)
            return Encoder(planner(folder, self.task))


@dataclass(frozen=True)
class Encoder:
    """A model that encodes. See :class:`attendant_export.drafts.Subject`."""

    plan: EncoderPlan

    @property
    def tokenizer_json(self) -> str | None:
        """Content of the bundle's tokenizer.json, if rows are texts."""
        return self.plan.tokenizer_json

    @property
    def known_ids(self) -> int | None:
        """The ids, from 0 on, that a text may have."""
        return getattr(self.plan.input, "vocab_size", None)

    @property
    def encode(self) -> Encode | None:
        """Text to token ids, without special tokens; None where rows are no texts."""
        return encoding(self.plan.tokenizer_json)

    def drafts(self, recipes: Sequence[Recipe], order: Order) -> Iterator[EncoderDraft]:
        """See :meth:`attendant_export.drafts.Subject.drafts`."""
        return (EncoderDraft(self.plan, recipe.for_task(self.plan.task), order) for recipe in recipes)


@dataclass(frozen=True)
class EncoderDraft:
    """An encoder planned for one recipe. See :class:`attendant_export.drafts.Draft`."""

    plan: EncoderPlan
    recipe: Recipe
    order: Order

    def write(self, folder: Path) -> Written:
        """See :meth:`attendant_export.drafts.Draft.write`."""
        plan, progress = self.plan, self.order.progress
        graph, done = encoder_graph(plan, self.recipe, progress, self.order.calibration)
        models = {"encoder": graph}
        if plan.projection is not None:
            models["projection"] = projection_model(plan.projection)
        with progress("write"):
            return Written(save_graphs(models, folder), done)

    def verify(self, folder: Path, written: Written) -> Parity:
        """See :meth:`attendant_export.drafts.Draft.verify`."""
        path = folder / written.graphs["encoder"].file
        return verify_encoder(path, self.plan.cases(), self.recipe, self.plan.natural())

    def look(self, written: Written) -> Look | None:
        """See :meth:`attendant_export.drafts.Draft.look`."""
        return None if self.plan.look is None else self.plan.look()

    def manifest(self, written: Written, common: Common) -> EncoderManifest:
        """See :meth:`attendant_export.drafts.Draft.manifest`."""
        plan = self.plan
        return EncoderManifest(
            **common,
            task=plan.task,
            architecture=plan.architecture,
            warnings=plan.warnings,
            input=plan.input,
            layout=plan.layout,
            labels=plan.labels,
            problem=plan.problem,
            embedding=plan.embedding,
            ctc=plan.ctc,
        )


def encoder_graph(
    plan: EncoderPlan, recipe: Recipe, progress: Progress = silent, calibration: str | None = None
) -> tuple[ir.Model, tuple[str, ...]]:
    """The finished graph ``encoder`` of a plan, and what quantisation did, in words."""
    spec = plan.spec(recipe.dtype)
    with progress("trace") as step:
        model = trace_encoder(spec, recipe.target, step)
    with progress("rewrite"):
        rewrite_encoder(model, spec.dimensions, recipe.target)
    done: tuple[str, ...] = ()
    if recipe.precision == "int8":
        with progress("quantise") as step:
            done = quantise(model, "int8", plan.sample_runs(calibration), step)
    return model, done
