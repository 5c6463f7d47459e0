"""What of docs/census.md is written by hand."""

from __future__ import annotations

HEAD = """# What works

Which models of transformers can be exported and served, and how near to the original they are. This page is measured:
for each class of transformers' auto mappings ({versions}) a small random model is made, saved as a folder, exported
in fp32 by the real exporter, and the bundle is run beside what transformers itself makes of the folder. Decoders
answer a prompt that is five times longer than their sliding window, in chunks, and then 24 greedy tokens; rows that
run together must have, to the bit, what they have alone. Encoders run rows of different lengths together and alone;
encoder-decoders answer several sources at once; models of images get pictures through the server's own preprocessing.

- **right**: outputs are those of the model, within a thousandth of their spread, and so are greedy tokens.
- **refused**: the export says what in the model it has no place for. **answers differ**: it found that its graph
  computes something else than the model, and wrote nothing.
- **opaque**: refused with the words of another's error. **wrong**: a bundle was written that answers otherwise.
  **traceback**: an error that nobody foresaw. **not tried**: no small model could be made, or a package is missing
  here.

Small models show a family, not every setting that its checkpoints may turn on. The export of a checkpoint ends with a
comparison of the same kind: a model that is not on this page, or is another than its family, is refused rather than
served wrong. Families with their graphs: [decoders](architectures.md), [encoders](encoders.md),
[encoder-decoders](seq2seq.md), [sentence-transformers](words.md#sentence-transformers), [what reads images or sound
beside text](multimodal.md).

`make census` writes the page anew, which takes hours. Some classes, the rest kept:
`python -m tests.export.census --kind causal-lm --only llama,mamba --page`.

"""

FOOT = """
## What does not work yet

{needed}
Besides: speculative decoding; adapters of other kinds than [LoRA](adapters.md); models with code of their
own in the folder (`trust_remote_code`); folders that are something else (weights in an [unknown
quantisation](quantised-checkpoints.md), adapters alone): refused in one sentence that says what is there and what to
do, see [Settings of a checkpoint](settings-of-checkpoints.md#folders-that-are-something-else).

## How sure is that

Random models show that a graph is right. They do not show what quantisation does to a trained one: that is measured
on natural text in every export ([Fidelity](fidelity.md)), and on three trained models in the tests marked `real`
(SmolLM2, whisper-tiny.en, all-MiniLM-L6-v2).
"""

# Pattern of the refusal, what the model does, and what it would take to export it. The first that fits counts.
NEEDED: tuple[tuple[str, str, str], ...] = (
    (
        r"indexed_attention|compressed_sparse",
        "attention to a few positions that the model chooses",
        "an attention operator that chooses them, too",
    ),
    (
        r"(linear_attention|conv|hybrid|mamba|recurrent)\b.* layers|recurrent or convolution",
        "recurrent or convolution layers",
        "their states beside keys and values: the server has places for them, the exporter does not trace them",
    ),
    (r"not causal or windowed|mask of its own|mask itself", "attention masks of other shapes", "an operator with them"),
    (r"attention interface|attention is written out", "attention that is written out", "a patch for its class"),
    (r"into blocks|into chunks", "texts cut into blocks", "as many blocks as a text needs, in one graph"),
    (r"at random|hashing", "attention that draws or hashes", "what no graph has"),
    (r"run together", "layers that see neighbours, padding included", "operators that are told where rows end"),
    (r"another kind than text to text", "speech to text, other than Whisper's way", "their encoders as sources"),
    (
        r"boxes|xpaths|tables|features of pictures|code points",
        "inputs beside or instead of words: places on a page, tables, pictures, characters",
        "fields for them in requests",
    ),
    (r"videos", "videos", "fields for them in requests"),
    (r"image processor", "image processors with steps of their own", "these steps in the server"),
)
