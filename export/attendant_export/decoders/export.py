"""The stages of a decoder's export: trace, quantise, write, verify, seal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from attendant.bundle import (
    DEFAULT_TEMPLATE,
    TOKENIZER_FILE,
    ChangingFrequencies,
    GeneratorManifest,
    Graph,
    KVLayer,
    Parity,
    Source,
)

from attendant_export.decoders.architectures import context_length
from attendant_export.decoders.graphs import TracedGraph, WrittenGraphs, trace_graph, write_traced
from attendant_export.decoders.rope import changing_frequencies, extended_length, frequency_limit
from attendant_export.decoders.verify import Words as VerifiedWords
from attendant_export.decoders.verify import verify
from attendant_export.errors import ExportError
from attendant_export.fidelity.windows import leading_tokens, text_windows
from attendant_export.progress import Progress, silent
from attendant_export.prompts import Ints, sample_prompts
from attendant_export.recipe import Recipe
from attendant_export.settings import generation_defaults, setting_warnings
from attendant_export.texts import calibration_text
from attendant_export.toolchain import exporter_version, versions
from attendant_export.words import Words
from attendant_export.words.special_tokens import special_tokens
from attendant_export.writer import bundle_folder, file_entries, write_manifest

_CALIBRATION_TOKENS = 8192


@dataclass(frozen=True)
class DecoderExport:
    """A causal language model (float32, eager attention) on its way to a bundle at ``out``, in any precision.

    Attributes:
        words: its tokenizer and chat templates.
        calibration: text to calibrate with; by default the exporter's own.
        context_length: at most so many tokens of prompt and answer together; by default what the model takes.
        max_kl: the largest divergence that is asked for, if the precision's own limit is not enough.

    The others are as :func:`attendant_export.export.export_model` has them.
    """

    model: Any
    words: Words
    out: Path
    name: str
    calibration: str | None = None
    source: Source | None = None
    tokenizer_config: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    progress: Progress = silent
    max_kl: float | None = None
    context_length: int | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """A ``tokenizers.Tokenizer``."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.words.tokenizer_json)

    def encode(self, text: str) -> list[int]:
        """Token ids, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def trace(self, recipe: Recipe) -> TracedGraph:
        """The graph before quantisation, which all recipes of target cpu share."""
        length = self._length(recipe)
        changing = self._changing(recipe)
        return trace_graph(self.model, recipe, length, self.encode, self.progress, self.calibration, changing)

    def run(self, recipe: Recipe, traced: TracedGraph) -> GeneratorManifest:
        """Writes the bundle; ``traced`` is quantised in place.

        Raises:
            ExportError: see :mod:`attendant_export.errors`.
        """
        with bundle_folder(self.out, overwrite=self.overwrite) as folder:
            windows = self._calibration_windows(traced, self._plain_length(recipe))
            written = write_traced(traced, folder, recipe, self.progress, windows)
            (folder / TOKENIZER_FILE).write_text(self.words.tokenizer_json, encoding="utf-8")
            with self.progress("verify"):
                parity = self._verified(folder, written, recipe)
            with self.progress("seal"):
                manifest = self._manifest(folder, written, recipe, parity)
                write_manifest(folder, manifest)
        return manifest

    def _length(self, recipe: Recipe) -> int:
        """The context of the bundle. Raises ExportError: longer than the model's is asked for."""
        most = context_length(self.model, recipe.target)
        if self.context_length is not None and self.context_length > most:
            raise ExportError(f"--context-length is {self.context_length}; this model takes at most {most}")
        return self.context_length or most

    def _changing(self, recipe: Recipe) -> ChangingFrequencies | None:
        """How frequencies change within the bundle's context."""
        found = changing_frequencies(self.model, recipe.target)
        return found if found is not None and found.after < self._length(recipe) else None

    def _plain_length(self, recipe: Recipe) -> int:
        """The context within which position_ids are positions."""
        changing = self._changing(recipe)
        return self._length(recipe) if changing is None else changing.after

    def _cuts(self, recipe: Recipe) -> Iterator[str]:
        """What is left out of the context that the config speaks of, in sentences."""
        length, limit = self._length(recipe), frequency_limit(self.model)
        if limit is not None and self.context_length is None and limit == length < _written_length(self.model):
            yield (
                f"the context ends at {length} tokens, the length that the model was trained at: beyond it its rotary "
                "embeddings change with the length, which this bundle does not follow"
            )

    def _calibration_windows(self, traced: TracedGraph, length: int) -> list[Ints]:
        """Windows of the calibration text; of random tokens where the tokenizer does not fit the model."""
        windows = text_windows(
            self.calibration or calibration_text(),
            self.encode,
            vocab_size=self.model.config.get_text_config().vocab_size,
            context_length=length,
            leading=leading_tokens(self.tokenizer),
            most=_CALIBRATION_TOKENS,
        )
        layers = [KVLayer(num_kv_heads=1, head_size=1, dtype="float32", window=each.window) for each in traced.layers]
        return windows or sample_prompts(self.model, layers, length, None)

    def _verified(self, folder: Path, written: WrittenGraphs, recipe: Recipe) -> Parity:
        graphs, graph = written.graphs, written.graphs["decoder"]
        return verify(
            self.model,
            folder / graph.file,
            graph,
            written.layers,
            recipe=recipe,
            context_length=self._plain_length(recipe),
            changing=self._changing(recipe),
            words=VerifiedWords(self.encode, leading_tokens(self.tokenizer)),
            prompt_path=folder / graphs["prompt"].file if "prompt" in graphs else None,
            max_kl=self.max_kl,
        )

    def _manifest(self, folder: Path, written: WrittenGraphs, recipe: Recipe, parity: Parity) -> GeneratorManifest:
        templates = dict(self.words.chat_templates)
        return GeneratorManifest(
            name=self.name,
            task="generate",
            architecture=str(self.model.config.model_type),
            target=recipe.target,
            precision=recipe.precision,
            recipe=written.recipe,
            warnings=(*self.words.warnings, *setting_warnings(self.model), *self._cuts(recipe)),
            cache_layout="pages" if recipe.target == "cuda" else "slots",
            graphs=written.graphs,
            kv_layers=written.layers,
            context_length=self._length(recipe),
            frequencies=self._changing(recipe),
            vocab_size=_vocab_size(written.graphs["decoder"]),
            special_tokens=special_tokens(self.model, self.tokenizer, dict(self.tokenizer_config)),
            generation_defaults=generation_defaults(self.model),
            chat_template=templates.pop(DEFAULT_TEMPLATE, None),
            chat_templates=templates,
            template_variables=self.words.special_tokens,
            clean_up_spaces=self.words.cleans_up,
            files=file_entries(folder),
            parity=parity,
            source=self.source or Source(id=self.name, versions=versions()),
            exporter_version=exporter_version(),
        )


def _written_length(model: Any) -> int:
    """The context that the config speaks of."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 0
    return extended_length(model, int(most))


def _vocab_size(graph: Graph) -> int:
    width = next(spec.shape[-1] for spec in graph.outputs if spec.name == "logits")
    assert isinstance(width, int)
    return width
