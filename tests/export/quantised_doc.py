"""Writes the second table of docs/architectures.md, errors in int8 and int4: `python -m tests.export.quantised_doc`.

Each model of the first table is exported as a user would, in both precisions, and its bundle's report is read.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from attendant.bundle import Precision

from tests.export.architectures import ARCHITECTURES, build

PATH = Path(__file__).parents[2] / "docs" / "architectures.md"
PRECISIONS: tuple[Precision, ...] = ("int8", "int4")
TITLE = "\n## In int8 and int4\n"
HEADER = f"""{TITLE}
The same tiny models, exported with calibration on the package's text (their tokens are its bytes) and compared with
the model in float32 as every export is ([fidelity](fidelity.md)). **KL** is that of prompts, nats a token; **cosine**
the least of the logits over the fixed cases. The models are random: the table shows that the recipe fits the graph of
each family, and which of its passes apply, not how much a trained model of the family loses.

- **smoothed**, **rotated**: inputs of products whose channels were scaled, or mixed by a rotation, for int8.
- **products**: those in int8.

Written by `python -m tests.export.quantised_doc`.

| architecture | int8 KL | int8 cosine | smoothed | rotated | products | int4 KL | int4 cosine |
|---|---|---|---|---|---|---|---|
"""
Cells = tuple[str, ...]


def section() -> str:
    """The committed table with its heading; nothing if there is none yet."""
    text = PATH.read_text(encoding="utf-8")
    return text[text.index(TITLE) :] if TITLE in text else ""


def tokenizer_json() -> str:
    """A token for each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return str(tokenizer.to_str())


def measured(name: str) -> tuple[str, Cells]:
    """The cells of one architecture."""
    import torch
    from attendant_export.decoders.export import Decoder
    from attendant_export.decoders.source import DecoderSource
    from attendant_export.drafts import Order
    from attendant_export.errors import ParityError
    from attendant_export.pipeline import make_bundle
    from attendant_export.recipe import Recipe
    from attendant_export.words import words_of

    torch.set_num_threads(1)
    cells: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        order = Order(Path(folder) / "bundle", "tiny", overwrite=True)
        decoder = Decoder(DecoderSource(build(name), words_of(tokenizer_json())))
        recipes = [Recipe("cpu", precision) for precision in PRECISIONS]
        for precision, draft in zip(PRECISIONS, decoder.drafts(recipes, order), strict=True):
            try:
                found = make_bundle(draft, decoder.tokenizer_json, order)
            except ParityError as error:
                cells += [f"refused: {error}", *([""] * (4 if precision == "int8" else 1))]
                continue
            assert found.parity.fidelity is not None
            cells += [f"{found.parity.fidelity.prompt.kl:.1e}", f"{found.parity.cosine:.5f}"]
            if precision == "int8":
                said = " ".join(found.recipe)
                cells += [_count(said, what) for what in ("inputs of products smoothed", "inputs of products rotated")]
                cells.append(_count(said, "products in int8"))
    return name, tuple(cells)


def _count(said: str, what: str) -> str:
    found = re.search(rf"(\d+) {what}", said)
    return found[1] if found else "0"


def main(names: list[str]) -> int:
    """Measures all architectures, or those named, and writes the table; other rows stay as they are."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = (
        {line.split("|")[1].strip(): line for line in section().splitlines() if line.startswith("| ")} if names else {}
    )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name, cells in pool.map(measured, names or ARCHITECTURES):
            rows[name] = "| " + " | ".join((name, *cells)) + " |"
            print(rows[name], flush=True)
    text = PATH.read_text(encoding="utf-8")
    first = text[: text.index(TITLE)] if TITLE in text else text
    lines = "".join(f"{rows[name]}\n" for name in ARCHITECTURES if name in rows)
    PATH.write_text(first + HEADER + lines, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
