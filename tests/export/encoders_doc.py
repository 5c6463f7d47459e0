"""Writes docs/encoders.md: `python -m tests.export.encoders_doc [FAMILY...]`, all rows or those of the named families.

The encoder test keeps the document true.
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

from tests.export import image_families, sound_families
from tests.export.encoder_families import FAMILIES
from tests.export.encoder_measure import EncoderMeasurement, measure

PATH = Path(__file__).parents[2] / "docs" / "encoders.md"
HEADER = """# Encoders

Every family below exports through one attention function, which emits MultiHeadAttention nodes, or, where a family
writes its attention out, with its own attention as it is. Which of the layouts a model gets is found by trial at
export: the rows run together must come out as each row alone does.

For each head, a test builds a tiny random model (2 layers, hidden size 64), exports it in fp32 and compares it with the
torch model, which computes each row alone: all rows in one ragged batch, single rows, and rows in a padded view that is
wider than they need. Images and recordings are compared together, by twos and threes, and alone.

- **layout**: `packed` runs the tokens of all rows without padding, `padded` fills rows up to the longest; in `equal`
  rows have one size, as images have, and recordings of one length.
- **error below**: bound on the largest absolute difference of outputs over all cases.
- **attention**, **nodes**: MultiHeadAttention nodes and all nodes of the graph.
- **exact batch**: a row in a batch gets, bit for bit, what it gets alone.

Not exported: ConvBERT and MobileBERT, whose layers mix neighbouring tokens, padding included, so that rows run together
differ from rows alone (refused with the size of the difference); Longformer, whose number of chunks cannot be traced;
BigBird and Reformer, which draw or hash; heads over recurrent layers (Jamba, MiniMax, Qwen3-Next, Zamba), but for
members of those families whose layers are all attention. Of models that hear: wav2vec2-bert, whose features the server
does not make. Of models that see: ViT-MAE, which drops patches by chance; ImageGPT and Perceiver, which take other
things than images; Dinat and timm's, which need libraries of their own; detectors and those that cut out, whose answers
are no labels and no vectors. An image processor with steps that the server has not is refused by its name. SigLIP 2
with images in their own shape is exported with its own attention, and tested beside the table.

Images and recordings (CTC too) are those alone with one thread and with several. Of a convolution over time ONNX
Runtime cuts a single row among threads, and several rows not, and adds up in another order; so bundles for CPUs have
one over images that are one pixel high in its place (those of several groups stay). Tested on processors of x86-64.

Written by `python -m tests.export.encoders_doc`; `pytest tests/export` keeps it true.

| family | head | layout | error below | attention | nodes | exact batch |
|---|---|---|---|---|---|---|
"""
_YES = {True: "yes", False: "no"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    family: str
    head: str
    layout: str
    error_below: float
    counts: tuple[int, int]
    exact: bool

    def __str__(self) -> str:
        cells = [self.family, self.head, self.layout, f"{self.error_below:.0e}", *self.counts, _YES[self.exact]]
        return "| " + " | ".join(map(str, cells)) + " |"


def names() -> list[tuple[str, str]]:
    """Every family of text encoders with each of its heads."""
    return [(name, head) for name, family in FAMILIES.items() for head in family.heads]


def names_of_images() -> list[tuple[str, str]]:
    """Every family of models that see with each of its heads."""
    return [(name, head) for name, family in image_families.FAMILIES.items() for head in family.heads]


def names_of_sounds() -> list[tuple[str, str]]:
    """Every family of models that label recordings."""
    return [(name, "classify_audio") for name in sound_families.FAMILIES]


def all_names() -> list[tuple[str, str]]:
    """The rows of the table, in order."""
    return [*names(), *names_of_images(), *names_of_sounds()]


def row_of(name: str, head: str, found: EncoderMeasurement) -> Row:
    """The line of a measurement, with room for other machines in its error."""
    below = 10.0 ** math.ceil(math.log10(3 * found.error))
    return Row(name, head, found.layout, below, (found.attention, found.nodes), found.exact)


def read() -> dict[tuple[str, str], Row]:
    """The committed table."""
    rows = {}
    for line in PATH.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and re.fullmatch(r"\de-\d\d", cells[3]):
            counts = (int(cells[4]), int(cells[5]))
            row = Row(cells[0], cells[1], cells[2], float(cells[3]), counts, cells[6] == "yes")
            rows[row.family, row.head] = row
    return rows


def _measured_row(key: tuple[str, str]) -> Row:
    import torch

    from tests.export.equal_rows_measure import make_image_plan, make_sound_plan, measure_equal_rows

    torch.set_num_threads(1)
    name, head = key
    if key in names_of_images():
        return row_of(name, head, measure_equal_rows(make_image_plan(name, head)))
    if key in names_of_sounds():
        return row_of(name, head, measure_equal_rows(make_sound_plan(name)))
    return row_of(name, head, measure(name, head))


def main(families: list[str]) -> int:
    """Measures the heads of the families (all by default) and writes the document; other rows stay as they are."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = read() if families else {}
    keys = [key for key in all_names() if not families or key[0] in families]
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        for row in pool.map(_measured_row, keys):
            print(row, flush=True)
            rows[row.family, row.head] = row
    PATH.write_text(HEADER + "".join(f"{rows[key]}\n" for key in all_names() if key in rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
