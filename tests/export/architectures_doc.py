"""Writes docs/architectures.md: `python -m tests.export.architectures_doc [NAME...]`, all rows or those named.

The architecture test keeps the document true.
"""

from __future__ import annotations

import math
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tests.export.architectures import ARCHITECTURES
from tests.export.measure import Measurement, measure
from tests.export.quantised_doc import section

PATH = Path(__file__).parents[2] / "docs" / "architectures.md"
HEADER = """# Architectures

Every architecture below exports through one attention function. For each, a test builds a tiny random model (2
layers, hidden size 64), exports it in fp32 and compares its logits with the torch model's: prefill of 40 tokens, the
same in chunks, right-padded prefill of four prompts in one batch, and decode of four rows of different lengths in one
batch, far beyond the sliding window where there is one.

- **error below**: bound on the largest absolute difference of logits over all four cases.
- **attention**: GroupQueryAttention nodes; **rotating**: how many of them apply the rotary embedding themselves.
- **norms**: fused normalisation nodes. **matmuls**, **nodes**: MatMul nodes and all nodes of the graph, before
  the last pass, which lets the rows of a run differ in length: it adds a gather before each input of an attention node
  (queries, keys and values) and one behind it.
- **exact batch**: a row that decodes with others gets, bit for bit, the logits and the cache it gets alone.
- **exact chunks**: a prompt in chunks of two and more tokens gives, bit for bit, what it gives in one run.

A run of exactly one token is computed by another matrix kernel than a run of several. Its results differ in the last
bits, so a position that was decoded and one that was prefilled are close, not equal. With heads of more than 128
channels, prompts cut within their first 64 positions are close, not equal, as well.

Decoders of BERT's and BART's families are exported where config.json says what they are: `architectures` names the
class for causal language models (`RobertaForCausalLM`; `RobertaForMaskedLM` is an encoder) and, of BERT's,
`is_decoder` is true. RoBERTa's children count positions from behind the padding token, as their `forward` does and as
they were trained; `generate` of transformers 5.23 counts from 0 unless it is given `position_ids`, and answers
otherwise. A padding token within a prompt counts as any other. X-MOD answers in its default language.

Attention in chunks or blocks is whole, and exact, within the first of them, where the context of a bundle ends: after
`attention_chunk_size` tokens for Llama 4 (8,192 in those that were published), after the blocks that BigBird needs
(704).

Written by `python -m tests.export.architectures_doc`; `pytest tests/export` keeps it true.

| architecture | error below | attention | rotating | norms | matmuls | nodes | exact batch | exact chunks |
|---|---|---|---|---|---|---|---|---|
"""
_YES = {True: "yes", False: "no"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    error_below: float
    counts: tuple[int, ...]
    exact_batch: bool
    exact_chunks: bool

    def __str__(self) -> str:
        cells = [self.name, f"{self.error_below:.0e}", *self.counts, _YES[self.exact_batch], _YES[self.exact_chunks]]
        return "| " + " | ".join(map(str, cells)) + " |"


def row_of(name: str, found: Measurement) -> Row:
    """The line of a measurement, with room for other machines in its error."""
    worst = 3 * max(found.errors.values())
    return Row(
        name,
        10.0 ** math.ceil(math.log10(worst)),
        (found.attention, found.rotary_inside, found.norms, found.matmuls, found.nodes),
        found.exact_batch,
        found.exact_chunks,
    )


def read() -> dict[str, Row]:
    """The committed table."""
    rows = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"\de-\d\d", cells[1] if len(cells) > 1 else ""):
            counts = tuple(map(int, cells[2:7]))
            rows[cells[0]] = Row(cells[0], float(cells[1]), counts, cells[7] == "yes", cells[8] == "yes")
    return rows


def _measured_row(name: str) -> Row:
    import torch

    torch.set_num_threads(1)
    return row_of(name, measure(name))


def main(names: list[str]) -> int:
    """Measures the architectures (all by default) and writes the document; other rows stay as they are."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = read() if names else {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for row in pool.map(_measured_row, names or ARCHITECTURES):
            print(row, flush=True)
            rows[row.name] = row
    table = "".join(f"{rows[name]}\n" for name in ARCHITECTURES if name in rows)
    PATH.write_text(HEADER + table + section(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
