"""The stages of an encoder-decoder's export: try layouts, trace, rewrite, quantise, write, verify, seal."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from attendant.bundle import TOKENIZER_FILE, AudioSource, GeneratorManifest, Graph, KVLayer, Source, TextSource
from tokenizers import Tokenizer

from attendant_export.calibration_file import check_calibration, encoding
from attendant_export.calibration_runs import answer_runs
from attendant_export.decoders.graphs import DECODER_FILE, describe, kv_layers, paged_companions
from attendant_export.errors import ExportError, UnsupportedModel
from attendant_export.precision import in_dtype
from attendant_export.progress import Progress, silent
from attendant_export.quantisation.activations import InMemory
from attendant_export.quantisation.quantise import quantise
from attendant_export.recipe import ENCODER_PRECISIONS, Recipe, RecipeRequest
from attendant_export.seq2seq.decoder import check_positions, trace_answer
from attendant_export.seq2seq.encoder import find_layout, source_feeds, trace_source
from attendant_export.seq2seq.languages import languages_of
from attendant_export.seq2seq.material import calibration_material, natural_material
from attendant_export.seq2seq.rules import answer_defaults, answer_rules
from attendant_export.seq2seq.source import AnswerSource
from attendant_export.seq2seq.speech import speech_of
from attendant_export.seq2seq.verify import verify_answers
from attendant_export.settings import setting_warnings
from attendant_export.toolchain import exporter_version, versions
from attendant_export.words.known_tokens import known_rows
from attendant_export.words.special_tokens import special_tokens
from attendant_export.writer import bundle_folder, file_entries, write_manifest

ENCODER_FILE = "encoder.onnx"
_VERIFIED_ROWS = 3


def answer_recipe(asked: Recipe | RecipeRequest) -> Recipe:
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


def export_answers(  # noqa: PLR0913 - the options of an export
    source: AnswerSource,
    out: Path,
    *,
    name: str,
    recipe: Recipe | None = None,
    calibration: str | None = None,
    max_kl: float | None = None,
    about: Source | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> GeneratorManifest:
    """Exports an encoder-decoder to a bundle at ``out`` and returns its manifest.

    Args:
        name: of the bundle. about: where the model came from.
        calibration: text to calibrate with; by default the exporter's own.
        max_kl: the largest divergence that is asked for, if the precision's own limit is not enough.

    Raises:
        ExportError: see :mod:`attendant_export.errors`.
    """
    recipe = answer_recipe(recipe or Recipe())
    check_calibration(calibration, encoding(source.tokenizer_json) if source.reads_text else None)
    model, rules = source.model, answer_rules(source.model)
    if model.get_output_embeddings() is None:
        raise UnsupportedModel(source.architecture, "it has no language-model head")
    check_positions(model, recipe.target)
    with progress("layout"):
        encoder_input, length = source.encoder_input(), source.context_length()
        rows = source.sample_rows(encoder_input)
        if isinstance(encoder_input, TextSource):
            layout = find_layout(model, encoder_input, rows)
            encoder_input = encoder_input.model_copy(update={"layout": layout})
    with bundle_folder(out, overwrite=overwrite) as folder:
        graphs, layers, cross_layers, done = _write_graphs(source, encoder_input, folder, recipe, progress, calibration)
        (folder / TOKENIZER_FILE).write_text(source.tokenizer_json, encoding="utf-8")
        with progress("verify"):
            parity = verify_answers(
                model,
                folder,
                graphs,
                encoder_input,
                layers,
                cross_layers,
                rows[:_VERIFIED_ROWS],
                recipe=recipe,
                context_length=length,
                material=natural_material(source, encoder_input),
                max_kl=max_kl,
            )
        with progress("seal"):
            manifest = GeneratorManifest(
                name=name,
                task="generate",
                architecture=source.architecture,
                target=recipe.target,
                precision=recipe.precision,
                recipe=done,
                warnings=(*source.warnings, *setting_warnings(model)),
                cache_layout="pages" if recipe.target == "cuda" else "slots",
                graphs=graphs,
                kv_layers=layers,
                context_length=length,
                vocab_size=int(next(spec.shape[-1] for spec in graphs["decoder"].outputs if spec.name == "logits")),
                special_tokens=special_tokens(
                    model, Tokenizer.from_str(source.tokenizer_json), dict(source.tokenizer_config)
                ),
                generation_defaults=answer_defaults(model),
                encoder_input=encoder_input,
                cross_layers=cross_layers,
                answer=rules,
                clean_up_spaces=source.cleans_up,
                languages=languages_of(source.architecture, _known(source), source.tokenizer_config, rules),
                speech=speech_of(model, source.tokens) if isinstance(encoder_input, AudioSource) else None,
                files=file_entries(folder),
                parity=parity,
                source=about or Source(id=name, versions=versions()),
                exporter_version=exporter_version(),
            )
            write_manifest(folder, manifest)
    return manifest


def _write_graphs(
    source: AnswerSource,
    encoder_input: TextSource | AudioSource,
    folder: Path,
    recipe: Recipe,
    progress: Progress,
    calibration: str | None,
) -> tuple[dict[str, Graph], tuple[KVLayer, ...], tuple[KVLayer, ...], tuple[str, ...]]:
    """The files of the graphs, their manifest entries, both kinds of caches, and what quantisation did."""
    with progress("trace") as step:
        model = in_dtype(source.model, recipe.dtype)
        answer = trace_answer(model, source.context_length(), recipe.target, step)
        reader = trace_source(model, encoder_input, answer.cross_layers, recipe.target, step)
    done: tuple[str, ...] = ()
    if recipe.precision == "int8":
        with progress("quantise") as step:
            texts, answers = calibration_material(source, encoder_input, calibration)
            runs = [source_feeds(encoder_input, [row]) for row in texts]
            answered = answer_runs(kv_layers(answer.layers), InMemory(reader), runs, answers)
            for graph, samples in ((reader, runs), (answer.model, answered)):
                done += quantise(graph, "int8", samples, step)
    files = {"encoder": (ENCODER_FILE, reader), "decoder": (DECODER_FILE, answer.model)}
    if recipe.target == "cuda":
        files |= paged_companions(answer.model, len(answer.layers))
    with progress("write"):
        for name, (file, graph) in files.items():
            external = f"{file}.data" if name in ("encoder", "decoder") else None
            ir.save(graph, folder / file, external_data=external)
    graphs = {name: describe(graph.graph, file) for name, (file, graph) in files.items()}
    layers, cross = (kv_layers(each, recipe.cache_dtype) for each in (answer.layers, answer.cross_layers))
    return graphs, layers, cross, done


def _known(source: AnswerSource) -> dict[str, int]:
    """The tokens that the model has rows for: a tokenizer's class may add languages that this model was never told."""
    rows = known_rows(source.model)
    return {token: index for token, index in source.tokens.items() if rows is None or index < rows}
