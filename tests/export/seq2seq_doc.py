"""Writes docs/seq2seq.md: `python -m tests.export.seq2seq_doc [FAMILY...]`, all rows or those of the named families.

The test of encoder-decoders keeps the document true.
"""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tests.export.seq2seq_families import FAMILIES
from tests.export.seq2seq_measure import Seq2SeqMeasurement, Subject, measure

PATH = Path(__file__).parents[2] / "docs" / "seq2seq.md"
HEADER = """# Encoder-decoders

Translation, summaries and speech: `attendant export` makes two graphs of an encoder-decoder. `encoder` reads sources
and gives the keys and values that each layer of the decoder will look at; `decoder` answers, one token or a run of
tokens at a time, over its own cache and over those keys and values. Both kinds of attention are GroupQueryAttention
nodes, whose cost follows each row's own length, so that answers of any length to sources of any length run together.

For each family, a test builds a tiny random model (2 layers each, hidden size 64), exports it in fp32 and answers
sources of different lengths, read together in one run, in one batch that each answer joins three steps after the one
before it. Answers are compared with transformers' `generate` for each source alone, forced and suppressed tokens
included.

- **layout**: how sources run together. `packed` runs the tokens of all without padding, `padded` fills them up to the
  longest (found by trial at export); the windows of speech are `equal`.
- **cross layers**: attention calls of the decoder that look at the source.
- **nodes**: of the graphs encoder and decoder.
- **error below**: bound on the largest absolute difference of logits, whose standard deviation is **spread**.
- **greedy**, **beams**: the tokens are those of `generate`; beams through the server's engine, several searches at once
  (2 to 4 beams, three length penalties, all ways to stop, n-grams that must not occur twice).
- **exact batch**: a logit in a batch is, bit for bit, what it is alone.

The kernel refuses a run of more tokens of one answer than its source has positions: longer ones are cut.

For `--target cuda`, in fp16, both kinds of attention of the decoder are PagedAttention nodes, and the encoder's are
MultiHeadAttention. The keys and values of a source lie in blocks of their own. Each token of a run looks at them as a
sequence of its own, one that ends with its source and to which nothing is added: so the causal mask hides nothing,
answers may be longer than their sources, and decode steps have the fixed shapes that CUDA graphs ask for. Tests run
these bundles on a CPU, through the reference function that stands in for PagedAttention, and compare greedy answers,
searches with 2 to 4 beams, and answers that were preempted with `generate`, for Marian, BART and Whisper. No GPU has
run them yet. T5, Flan-T5, mT5 and UMT5 add a bias to the scores of the decoder, for which PagedAttention has no place.

Not exported: T5 and its relatives for target cuda; models whose encoder and decoder have vocabularies of their own
(some of Marian's, FSMT); speech models other than Whisper; LongT5 and Pegasus-X, which cut sources into blocks;
Switch and NLLB-MoE, whose experts count the tokens of all that run together; T5Gemma 2 and ProphetNet, whose decoders
attend in ways of their own; pairs of models put together (EncoderDecoderModel); and models that do not attend through
transformers' attention interface. BigBird-Pegasus reads sources up to the length that it attends to as a whole,
whatever its config says of blocks: 704 tokens in those that were published. LED reads up to 4,096: its windows are
masks here, over scores of all pairs, and no token looks at all others (global attention), as in `generate` unless it
is told otherwise.

Written by `python -m tests.export.seq2seq_doc`; `pytest tests/export` keeps it true.

| family | layout | cross layers | nodes | error below | spread | greedy | beams | exact batch |
|---|---|---|---|---|---|---|---|---|
"""
_YES = {True: "yes", False: "no"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    family: str
    layout: str
    cross_layers: int
    nodes: str
    error_below: float
    spread: float
    greedy: bool
    beams: bool
    exact: bool

    def __str__(self) -> str:
        numbers = [self.cross_layers, self.nodes, f"{self.error_below:.0e}", f"{self.spread:.1f}"]
        cells = [self.family, self.layout, *numbers, _YES[self.greedy], _YES[self.beams], _YES[self.exact]]
        return "| " + " | ".join(map(str, cells)) + " |"


def row_of(name: str, found: Seq2SeqMeasurement, beams: bool) -> Row:
    """The line of a measurement, with room for other machines in its error."""
    below = 10.0 ** math.ceil(math.log10(3 * found.error))
    nodes = f"{found.nodes[0]}, {found.nodes[1]}"
    return Row(name, found.layout, found.cross_layers, nodes, below, found.spread, found.greedy, beams, found.exact)


def read() -> dict[str, Row]:
    """The committed table, by family."""
    rows = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9 and re.fullmatch(r"\de-\d\d", cells[4]):
            numbers = (int(cells[2]), cells[3], float(cells[4]), float(cells[5]))
            rows[cells[0]] = Row(cells[0], cells[1], *numbers, *(cell == "yes" for cell in cells[6:]))
    return rows


def _measured_row(name: str) -> Row:
    import torch

    torch.set_num_threads(1)
    return row_of(name, measure(name), _beams_are_equal(name))


def _beams_are_equal(name: str) -> bool:
    from tests.test_seq2seq import check_answers_equal_those_of_generate

    with tempfile.TemporaryDirectory() as parent:
        try:
            check_answers_equal_those_of_generate(Subject(name, Path(parent) / "bundle"))
        except AssertionError:
            return False
    return True


def main(families: list[str]) -> int:
    """Measures the families (all by default) and writes the document; other rows stay as they are."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = read() if families else {}
    names = [name for name in FAMILIES if not families or name in families]
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        for row in pool.map(_measured_row, names):
            print(row, flush=True)
            rows[row.family] = row
    PATH.write_text(HEADER + "".join(f"{rows[name]}\n" for name in FAMILIES if name in rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
