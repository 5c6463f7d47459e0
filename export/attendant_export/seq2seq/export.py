"""How encoder-decoders become bundles: their side of the pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from attendant.bundle import AudioSource, GeneratorManifest, Parity, Seq2SeqRules, TextSource
from attendant.bundle.graph_io import EAGER, SPECTRA
from tokenizers import Tokenizer

from attendant_export.attention.reference import Look
from attendant_export.auto import Asked, Auto
from attendant_export.calibration_file import encoding
from attendant_export.calibration_runs import answer_runs
from attendant_export.decoders.export import vocab_size
from attendant_export.decoders.graphs import kv_layers
from attendant_export.drafts import Common, Order, Written
from attendant_export.errors import ExportError, UnsupportedModel
from attendant_export.graph.companions import paged_companions
from attendant_export.graph.files import save_graphs
from attendant_export.precision import in_dtype
from attendant_export.prompts import Encode
from attendant_export.quantisation.activations import InMemory
from attendant_export.quantisation.quantise import quantise
from attendant_export.recipe import ENCODER_PRECISIONS, GENERATE, Recipe, RecipeRequest
from attendant_export.seq2seq.decoder import TracedSeq2Seq, check_positions, trace_seq2seq
from attendant_export.seq2seq.encoder import Row, find_layout, source_feeds, trace_source
from attendant_export.seq2seq.languages import languages_of
from attendant_export.seq2seq.material import calibration_material, natural_material
from attendant_export.seq2seq.rules import seq2seq_defaults, seq2seq_rules
from attendant_export.seq2seq.source import Seq2SeqSource, load_seq2seq
from attendant_export.seq2seq.speech import speech_of
from attendant_export.seq2seq.verify import random_answers, verify_seq2seq
from attendant_export.settings import setting_warnings
from attendant_export.source.folder import SourceFolder
from attendant_export.words.special_tokens import special_tokens

_VERIFIED_ROWS = 3
_LOOKED_AT = 20  # tokens of an answer


def seq2seq_recipe(asked: Recipe | RecipeRequest) -> Recipe:
    """The recipe of an encoder-decoder, by default in the first precision that its target has.

    Raises:
        ExportError: encoder-decoders are not exported so; says how they are.
    """
    allowed = ENCODER_PRECISIONS.get(asked.target, ("fp32",))
    recipe = Recipe(asked.target, asked.precision or allowed[0], asked.kv_cache)
    if recipe.precision not in allowed:
        raise ExportError(
            f"encoder-decoders have no precision {recipe.precision!r} on target {recipe.target}; "
            f"allowed: {', '.join(allowed)}"
        )
    if recipe.kv_cache != "model":
        raise ExportError(f"encoder-decoders have no {recipe.kv_cache} KV cache; allowed: model")
    return recipe


@dataclass(frozen=True)
class EncoderDecoders:
    """The kind of models that answer a source. See :class:`attendant_export.drafts.Kind`."""

    task: str = GENERATE
    takes_context_length: bool = False

    def recipes(self, asked: Asked) -> list[Recipe]:
        """See :meth:`attendant_export.drafts.Kind.recipes`."""
        if isinstance(asked, Auto):
            return asked.recipes(ENCODER_PRECISIONS[asked.target])
        return [seq2seq_recipe(asked)]

    def load(self, folder: SourceFolder) -> EncoderDecoder:
        """See :meth:`attendant_export.drafts.Kind.load`."""
        return EncoderDecoder(load_seq2seq(folder))


@dataclass(frozen=True)
class EncoderDecoder:
    """A model that answers a source. See :class:`attendant_export.drafts.Subject`."""

    source: Seq2SeqSource

    @property
    def tokenizer_json(self) -> str:
        """Content of the bundle's tokenizer.json."""
        return self.source.tokenizer_json

    @property
    def known_ids(self) -> int | None:
        """The ids, from 0 on, that sources and answers may have."""
        return self.source.known_ids

    @property
    def encode(self) -> Encode | None:
        """Text to token ids, without special tokens; None where sources are no texts."""
        return encoding(self.source.tokenizer_json) if self.source.reads_text else None

    def drafts(self, recipes: Sequence[Recipe], order: Order) -> Iterator[Seq2SeqDraft]:
        """See :meth:`attendant_export.drafts.Subject.drafts`. All recipes share the layout of sources."""
        source, model = self.source, self.source.model
        rules = seq2seq_rules(model)
        if model.get_output_embeddings() is None:
            raise UnsupportedModel(source.architecture, "it has no language-model head")
        check_positions(model, recipes[0].target)
        with order.progress("layout"):
            encoder_input, length = source.encoder_input(), source.context_length()
            rows = source.sample_rows(encoder_input)
            if isinstance(encoder_input, TextSource):
                layout = find_layout(model, encoder_input, rows)
                encoder_input = encoder_input.model_copy(update={"layout": layout})
        for recipe in recipes:
            yield Seq2SeqDraft(source, seq2seq_recipe(recipe), encoder_input, length, rows, rules, order)


@dataclass(frozen=True)
class Seq2SeqDraft:
    """An encoder-decoder planned for one recipe. See :class:`attendant_export.drafts.Draft`.

    Attributes:
        encoder_input: what the encoder reads. rows: sources to try graphs with.
        context_length: positions of the decoder.
    """

    source: Seq2SeqSource
    recipe: Recipe
    encoder_input: TextSource | AudioSource
    context_length: int
    rows: Sequence[Row]
    rules: Seq2SeqRules
    order: Order

    def write(self, folder: Path) -> Written:
        """See :meth:`attendant_export.drafts.Draft.write`."""
        recipe, progress = self.recipe, self.order.progress
        with progress("trace") as step:
            model = in_dtype(self.source.model, recipe.dtype)
            answer = trace_seq2seq(model, self.context_length, recipe.target, step)
            reader = trace_source(model, self.encoder_input, answer.cross_layers, recipe.target, step)
        done = self._quantise(reader, answer) if recipe.precision == "int8" else ()
        models = {"encoder": reader, "decoder": answer.model}
        if recipe.target == "cuda":
            models |= paged_companions(answer.model, len(answer.layers))
        with progress("write"):
            graphs = save_graphs(models, folder)
        layers, cross = (kv_layers(each, recipe.cache_dtype) for each in (answer.layers, answer.cross_layers))
        return Written(graphs, done, layers, cross)

    def _quantise(self, reader: ir.Model, answer: TracedSeq2Seq) -> tuple[str, ...]:
        """Quantises both graphs in place; says what was done, in words."""
        done: tuple[str, ...] = ()
        with self.order.progress("quantise") as step:
            texts, answers = calibration_material(self.source, self.encoder_input, self.order.calibration)
            runs = [source_feeds(self.encoder_input, [row]) for row in texts]
            answered = answer_runs(kv_layers(answer.layers), InMemory(reader), runs, answers)
            for graph, samples in ((reader, runs), (answer.model, answered)):
                done += quantise(graph, "int8", samples, step)
        return done

    def verify(self, folder: Path, written: Written) -> Parity:
        """See :meth:`attendant_export.drafts.Draft.verify`."""
        return verify_seq2seq(
            self.source.model,
            folder,
            written.graphs,
            self.encoder_input,
            written.layers,
            written.cross_layers,
            self.rows[:_VERIFIED_ROWS],
            recipe=self.recipe,
            context_length=self.context_length,
            material=natural_material(self.source, self.encoder_input),
            max_kl=self.order.max_kl,
        )

    def look(self, written: Written) -> Look:
        """See :meth:`attendant_export.drafts.Draft.look`."""
        model, row = self.source.model, self.rows[0]
        read = SPECTRA.input_features if isinstance(self.encoder_input, AudioSource) else EAGER.input_ids
        answer = random_answers(model, 1, min(_LOOKED_AT, self.context_length))
        return Look(model, {read.name: row[None], EAGER.decoder_input_ids.name: answer})

    def manifest(self, written: Written, common: Common) -> GeneratorManifest:
        """See :meth:`attendant_export.drafts.Draft.manifest`."""
        source, model = self.source, self.source.model
        tokenizer, config = Tokenizer.from_str(source.tokenizer_json), source.tokenizer_config
        hears = isinstance(self.encoder_input, AudioSource)
        return GeneratorManifest(
            **common,
            task="generate",
            architecture=source.architecture,
            warnings=(*source.warnings, *setting_warnings(model)),
            cache_layout="pages" if self.recipe.target == "cuda" else "slots",
            kv_layers=written.layers,
            context_length=self.context_length,
            vocab_size=vocab_size(written.graphs["decoder"]),
            special_tokens=special_tokens(model, tokenizer, dict(config)),
            generation_defaults=seq2seq_defaults(model),
            encoder_input=self.encoder_input,
            cross_layers=written.cross_layers,
            answer=self.rules,
            clean_up_spaces=source.cleans_up,
            languages=languages_of(source.architecture, source.tokens, config, self.rules),
            speech=speech_of(model, source.tokens) if hears else None,
        )
