"""Exports a tiny encoder-decoder and measures its bundle against the torch model: logits, and greedy answers."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from attendant.bundle import GeneratorManifest, Seq2SeqRules, TextSource, read_manifest
from attendant_export.drafts import Order
from attendant_export.paged.bundle import reference_bundle
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe
from attendant_export.seq2seq.export import EncoderDecoder
from attendant_export.seq2seq.session import Seq2SeqSession
from attendant_export.seq2seq.source import Seq2SeqSource
from transformers import GenerationMixin

from tests.export.seq2seq_families import FAMILIES, PREPROCESSOR, make_model, tokenizer_json
from tests.shared import copy_of

NEW_TOKENS, STAGGER, LENGTHS = 12, 3, (13, 7, 22, 2)
Row = npt.NDArray[Any]


@dataclass(frozen=True)
class Compared:
    """How answers are beside the model's; fields as in :class:`Seq2SeqMeasurement`."""

    error: float
    spread: float
    greedy: bool
    exact: bool


@dataclass(frozen=True)
class Seq2SeqMeasurement:
    """What one bundle is and gives.

    Attributes:
        layout: of the sources. cross_layers: calls that look at the source. nodes: of encoder and decoder.
        error: the largest of all logits while answers of different lengths to different sources grow in one batch.
        spread: standard deviation of the model's logits.
        greedy: the answers are those of transformers' ``generate``.
        exact: a logit in a batch is, bit for bit, what it is alone.
    """

    layout: str
    cross_layers: int
    nodes: tuple[int, int]
    error: float
    spread: float
    greedy: bool
    exact: bool


@dataclass
class Answer:
    """One that grows: ``prompt`` and what follows, the logits of each step, and when it begins."""

    prompt: list[int]
    start: int
    tokens: list[int] = field(default_factory=list)
    logits: list[Row] = field(default_factory=list)

    def take(self, logits: Row, rules: Seq2SeqRules, forced_first: int | None, eos: Sequence[int]) -> None:
        """Appends the greedy token that the rules allow."""
        self.logits.append(logits)
        allowed = logits.copy()
        allowed[list(rules.suppressed)] = -np.inf
        if not self.tokens:
            allowed[list(rules.suppressed_first)] = -np.inf
        token = int(allowed.argmax())
        if not self.tokens and forced_first is not None:
            token = forced_first
        if len(self.tokens) == NEW_TOKENS - 1 and rules.forced_last is not None:
            token = rules.forced_last
        self.tokens.append(token)
        self.ended = token in eos or len(self.tokens) == NEW_TOKENS

    ended: bool = False


class Answering:
    """A bundle in ``folder``, the model that it was made of, and ``rows`` to answer."""

    def __init__(self, model: Any, folder: Path, rows: Sequence[Row]) -> None:
        self.model, self.folder, self.rows = model, folder, rows
        manifest = read_manifest(folder)
        assert isinstance(manifest, GeneratorManifest)
        self.manifest: GeneratorManifest = manifest

    def session(self, slots: int) -> Seq2SeqSession:
        manifest = self.manifest
        assert manifest.encoder_input is not None
        return Seq2SeqSession(
            self.folder,
            manifest.graphs,
            manifest.encoder_input,
            manifest.kv_layers,
            manifest.cross_layers,
            slots=slots,
            max_length=64,
            max_source=64,
            threads=1,
        )

    @property
    def prompt(self) -> list[int]:
        """What comes before an answer: for speech, its language and task, without timestamps."""
        assert self.manifest.answer is not None
        speech = self.manifest.speech
        if speech is None:
            return list(self.manifest.answer.start)
        return [speech.start_of_transcript, speech.languages["en"], speech.tasks["transcribe"], speech.no_timestamps]

    @property
    def forced_first(self) -> int | None:
        """The token that answers begin with: a language's, where the model is told its target so."""
        assert self.manifest.answer is not None
        languages = self.manifest.languages
        if languages is not None and languages.target == "first":
            return next(iter(languages.tokens.values()))
        return self.manifest.answer.forced_first

    def answer(self, indices: Sequence[int], stagger: int = STAGGER) -> list[Answer]:
        """Greedy answers to the sources, in one batch that each joins ``stagger`` steps after the one before it."""
        rules = self.manifest.answer
        assert rules is not None
        session = self.session(len(indices) + 1)
        session.read(range(1, len(indices) + 1), [self.rows[index] for index in indices])
        answers = [Answer(self.prompt, stagger * order) for order in range(len(indices))]
        eos = self.manifest.special_tokens.eos
        for step in range(1000):
            for slot, answer in enumerate(answers, start=1):
                if answer.start == step:
                    last = [len(answer.prompt) - 1]
                    logits = session.run(slice(slot, slot + 1), np.array([answer.prompt]), [0], last)
                    answer.take(logits[0], rules, self.forced_first, eos)
            # Those that are under way are neighbours, for each begins after the one before it.
            active = [slot for slot, answer in enumerate(answers, start=1) if answer.tokens]
            running = [slot for slot in active if not answers[slot - 1].ended]
            if not running and all(answer.ended for answer in answers):
                return answers
            if not running:
                continue
            slots = range(running[0], running[-1] + 1)  # ended ones among them run along
            rows = [answers[slot - 1] for slot in slots]
            tokens = np.array([[row.tokens[-1]] for row in rows])
            starts = [len(row.prompt) + len(row.tokens) - 1 for row in rows]
            for row, logits in zip(rows, session.run(slice(slots.start, slots.stop), tokens, starts), strict=True):
                if not row.ended:
                    row.take(logits, rules, self.forced_first, eos)
        raise AssertionError("answers do not end")

    def generated(self, index: int) -> tuple[list[int], Row]:
        """The tokens after the prompt and the logits [steps, vocab_size] of transformers' ``generate``."""
        speech = self.manifest.speech is not None
        row = torch.from_numpy(self.rows[index])[None]
        given: dict[str, Any] = {"decoder_input_ids": torch.tensor([self.prompt])}
        if not speech:
            given["attention_mask"] = torch.ones_like(row)
        if self.forced_first is not None:
            given["forced_bos_token_id"] = self.forced_first
        greedy = {"num_beams": 1, "do_sample": False, "no_repeat_ngram_size": 0, "early_stopping": False}
        output = GenerationMixin.generate(
            self.model,
            row,
            max_new_tokens=NEW_TOKENS,
            max_length=None,
            return_dict_in_generate=True,
            output_logits=True,
            **greedy,
            **given,
        )
        return output.sequences[0].tolist()[len(self.prompt) :], torch.cat(output.logits).numpy()


class Subject(Answering):
    """A family's tiny model, its bundle in ``folder``, and sources to answer.

    ``recipe``: fp32 for a CPU by default. Of target cuda, ``folder`` gets the copy for a CPU, and the weights are those
    of float16, so that only the computation rounds.
    """

    def __init__(self, name: str, folder: Path, *, recipe: Recipe | None = None, **config: Any) -> None:
        self.name = name
        model = make_model(name, **config)
        paged = recipe is not None and recipe.target == "cuda"
        if paged:
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.data = tensor.data.half().float() if tensor.is_floating_point() else tensor.data
        audio = name == "whisper"
        self.source = Seq2SeqSource(
            model,
            tokenizer_json(name),
            {"tokenizer_class": FAMILIES[name].tokenizer_class, "model_max_length": 96},
            PREPROCESSOR if audio else {},
        )
        what = f"{name} {recipe} {sorted(config.items())}"
        bundle = folder.with_name(f"{folder.name}-cuda") if paged else folder
        copy_of(what, lambda out: export(EncoderDecoder(self.source), [recipe or Recipe()], Order(out, name)), bundle)
        if paged:
            copy_of(f"copy of {what}", lambda out: reference_bundle(bundle, out), folder)
        super().__init__(model, folder, self._sample_rows(audio))

    def _sample_rows(self, audio: bool) -> list[Row]:
        generator = np.random.default_rng(4)
        specials = len(FAMILIES[self.name].specials)
        if audio:
            return self.source.sample_rows(self.source.encoder_input())
        return [generator.integers(specials, specials + 256, size) for size in LENGTHS]


def measure(name: str) -> Seq2SeqMeasurement:
    """Exports and compares; see :class:`Seq2SeqMeasurement`."""
    with tempfile.TemporaryDirectory() as parent:
        subject = Subject(name, Path(parent) / "bundle")
        compared = compare(subject)
        manifest = subject.manifest
        counts = [_nodes(subject.folder / manifest.graphs[graph].file) for graph in ("encoder", "decoder")]
    source = manifest.encoder_input
    return Seq2SeqMeasurement(
        layout=source.layout if isinstance(source, TextSource) else "equal",
        cross_layers=len(manifest.cross_layers),
        nodes=(sum(counts[0].values()), sum(counts[1].values())),
        error=compared.error,
        spread=compared.spread,
        greedy=compared.greedy,
        exact=compared.exact,
    )


def compare(subject: Answering) -> Compared:
    """Answers to all rows in one batch, beside those of the model and those alone."""
    indices = range(len(subject.rows))
    together = subject.answer(indices)
    alone = [subject.answer([index])[0] for index in indices]
    wanted = [subject.generated(index) for index in indices]
    pairs = list(zip(together, wanted, strict=True))
    return Compared(
        error=max(float(np.abs(_same_steps(answer, logits)).max()) for answer, (_, logits) in pairs),
        spread=float(np.concatenate([logits for _, logits in wanted]).std()),
        greedy=all(answer.tokens == tokens for answer, (tokens, _) in pairs),
        exact=all(
            np.array_equal(np.stack(one.logits), np.stack(other.logits))
            for one, other in zip(together, alone, strict=True)
        ),
    )


def _same_steps(answer: Answer, wanted: Row) -> Row:
    """Differences up to the first token that differs, after which answers are about something else."""
    steps = min(len(answer.logits), len(wanted))
    return np.stack(answer.logits[:steps]) - wanted[:steps]


def _nodes(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in ir.load(path).graph)
