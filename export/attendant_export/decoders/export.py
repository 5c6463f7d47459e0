"""How models that continue their prompt become bundles: the decoders' side of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from attendant.bundle import DEFAULT_TEMPLATE, GeneratorManifest, Graph, KVLayer, Parity, formats_of
from attendant.bundle.graph_io import LOGITS, PACKED

from attendant_export.attention.reference import Look
from attendant_export.auto import Asked, asked_recipes
from attendant_export.decoders.context import Context, bundle_context
from attendant_export.decoders.families import reference_attention
from attendant_export.decoders.graphs import TracedGraph, trace_graph, write_traced
from attendant_export.decoders.source import DecoderSource, load_decoder
from attendant_export.decoders.verify import Reader, verify
from attendant_export.drafts import Common, Order, Written
from attendant_export.fidelity.windows import leading_tokens, text_windows
from attendant_export.prompts import Ints, sample_prompts
from attendant_export.recipe import GENERATE, PRECISIONS, Recipe
from attendant_export.settings import generation_defaults, setting_warnings
from attendant_export.source.folder import SourceFolder
from attendant_export.texts import calibration_text
from attendant_export.words.known_tokens import prompt_ids
from attendant_export.words.special_tokens import special_tokens

_CALIBRATION_TOKENS = 8192


@dataclass(frozen=True)
class Decoders:
    """The kind of models that continue their prompt. See :class:`attendant_export.drafts.Kind`."""

    task: str = GENERATE
    takes_context_length: bool = True

    def recipes(self, asked: Asked) -> list[Recipe]:
        """See :meth:`attendant_export.drafts.Kind.recipes`."""
        return asked_recipes(asked, GENERATE, PRECISIONS)

    def load(self, folder: SourceFolder) -> Decoder:
        """See :meth:`attendant_export.drafts.Kind.load`."""
        return Decoder(load_decoder(folder))


@dataclass(frozen=True)
class Decoder:
    """A model that continues its prompt. See :class:`attendant_export.drafts.Subject`."""

    source: DecoderSource

    @property
    def tokenizer_json(self) -> str:
        """Content of the bundle's tokenizer.json."""
        return self.source.words.tokenizer_json

    @property
    def known_ids(self) -> int | None:
        """The ids, from 0 on, that a prompt may have."""
        return prompt_ids(self.source.model)

    @cached_property
    def tokenizer(self) -> Any:
        """A ``tokenizers.Tokenizer``."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.tokenizer_json)

    def encode(self, text: str) -> list[int]:
        """Token ids, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def drafts(self, recipes: Sequence[Recipe], order: Order) -> Iterator[DecoderDraft]:
        """See :meth:`attendant_export.drafts.Subject.drafts`. All recipes of target cpu share what is traced."""
        shared: TracedGraph | None = None
        for recipe in recipes:
            context = bundle_context(self.source.model, recipe.target, order.context_length)
            if shared is None or recipe.target != "cpu":  # other targets' graphs are of different types
                shared = self._trace(recipe, context, order)
            # A draft quantises its graph in place.
            yield DecoderDraft(self, recipe, context, shared if len(recipes) == 1 else shared.clone(), order)

    def _trace(self, recipe: Recipe, context: Context, order: Order) -> TracedGraph:
        return trace_graph(
            self.source.model,
            recipe,
            context.length,
            self.encode,
            order.progress,
            order.calibration,
            context.changing,
        )


@dataclass(frozen=True)
class DecoderDraft:
    """A decoder planned for one recipe. See :class:`attendant_export.drafts.Draft`.

    Attributes:
        traced: its graph before quantisation.
    """

    decoder: Decoder
    recipe: Recipe
    context: Context
    traced: TracedGraph
    order: Order

    def write(self, folder: Path) -> Written:
        """See :meth:`attendant_export.drafts.Draft.write`."""
        checkpoint = self.decoder.source.quantised
        stored = checkpoint.stored if checkpoint is not None else None
        windows = self._calibration_windows()
        return write_traced(self.traced, folder, self.recipe, self.order.progress, windows, stored)

    def verify(self, folder: Path, written: Written) -> Parity:
        """See :meth:`attendant_export.drafts.Draft.verify`."""
        graphs, graph = written.graphs, written.graphs["decoder"]
        return verify(
            self.decoder.source.model,
            folder / graph.file,
            graph,
            written.layers,
            recipe=self.recipe,
            context_length=self.context.plain_length,
            changing=self.context.changing,
            reader=Reader(self.decoder.encode, leading_tokens(self.decoder.tokenizer)),
            prompt_path=folder / graphs["prompt"].file if "prompt" in graphs else None,
            max_kl=self.order.max_kl,
        )

    def look(self, written: Written) -> Look:
        """See :meth:`attendant_export.drafts.Draft.look`."""
        model, length = self.decoder.source.model, self.context.plain_length
        prompt = sample_prompts(model, written.layers, length, self.decoder.encode)[0]
        return Look(model, {PACKED.input_ids.name: prompt[None]}, lambda: reference_attention(model))

    def manifest(self, written: Written, common: Common) -> GeneratorManifest:
        """See :meth:`attendant_export.drafts.Draft.manifest`."""
        source, words = self.decoder.source, self.decoder.source.words
        templates = dict(words.chat_templates)
        formats = formats_of(templates, self.order.tool_format, self.order.reasoning_format)
        return GeneratorManifest(
            **common,
            task="generate",
            architecture=str(source.model.config.model_type),
            warnings=(
                *words.warnings,
                *(source.quantised.warnings if source.quantised is not None else ()),
                *setting_warnings(source.model),
                *self.context.warnings,
            ),
            cache_layout="pages" if self.recipe.target == "cuda" else "slots",
            kv_layers=written.layers,
            context_length=self.context.length,
            frequencies=self.context.changing,
            vocab_size=vocab_size(written.graphs["decoder"]),
            special_tokens=special_tokens(source.model, self.decoder.tokenizer, dict(source.tokenizer_config)),
            generation_defaults=generation_defaults(source.model),
            chat_template=templates.pop(DEFAULT_TEMPLATE, None),
            chat_templates=templates,
            template_variables=words.special_tokens,
            tool_format=formats.tools,
            reasoning_format=formats.reasoning,
            clean_up_spaces=words.cleans_up,
        )

    def _calibration_windows(self) -> list[Ints]:
        """Windows of the calibration text; of random tokens where the tokenizer does not fit the model."""
        model, length = self.decoder.source.model, self.context.plain_length
        windows = text_windows(
            self.order.calibration or calibration_text(),
            self.decoder.encode,
            vocab_size=model.config.get_text_config().vocab_size,
            context_length=length,
            leading=leading_tokens(self.decoder.tokenizer),
            most=_CALIBRATION_TOKENS,
        )
        if windows:
            return windows
        calls = self.traced.layers
        layers = [KVLayer(num_kv_heads=1, head_size=1, dtype="float32", window=call.window) for call in calls]
        return sample_prompts(model, layers, length, None)


def vocab_size(graph: Graph) -> int:
    """How many logits a graph ``decoder`` gives of a token."""
    width = next(spec.shape[-1] for spec in graph.outputs if spec.name == LOGITS.name)
    assert isinstance(width, int)
    return width
