"""Tiny encoders built node by node, without torch, whose answers are whole numbers that anyone can work out.

A token is e = (id, id * id modulo 97, position, type); a row's sum is S; a token's hidden state is 2 e + S; heads
multiply with whole numbers. An id beyond the vocabulary makes the run raise inside ONNX Runtime.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from attendant.bundle import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    AudioInput,
    CtcHead,
    EmbeddingHead,
    EncoderManifest,
    FileEntry,
    Graph,
    ImageInput,
    Origin,
    Parity,
    SpectrumInput,
    TensorSpec,
    TextInput,
    sha256,
)
from onnx import TensorProto, helper, numpy_helper

from tests.synthetic import byte_tokenizer

VOCAB, HIDDEN, POSITIONS = 300, 4, 1024
IdsLike = Sequence[int] | np.ndarray
POISON = 10**6
OFFSET = 2
"""Of position ids."""

_KINDS = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
_RNG_HEAD = np.random.default_rng(5).integers(-3, 4, (HIDDEN, VOCAB)).astype(np.float32)


def head(width: int) -> np.ndarray:
    """The whole numbers that hidden states are multiplied with, [HIDDEN, width] float32."""
    return _RNG_HEAD[:, :width]


def expected_tokens(ids: IdsLike, types: IdsLike | None = None, *, positions: bool = True) -> np.ndarray:
    """Hidden states of a row, [n, HIDDEN] float32. ``positions``: of packed encoders; padded ones have 0 instead."""
    e = _parts(ids, types, positions)
    return (2 * e + e.sum(axis=0)).astype(np.float32)


def expected_row(ids: IdsLike, width: int, types: IdsLike | None = None, *, positions: bool = True) -> np.ndarray:
    """Logits of a row, [width] float32: S times the head."""
    return _parts(ids, types, positions).sum(axis=0).astype(np.float32) @ head(width)


def _parts(ids: IdsLike, types: IdsLike | None, positions: bool) -> np.ndarray:
    """e of the tokens of a row, [n, HIDDEN] int64."""
    array = np.array(ids, np.int64)
    places = np.arange(len(array)) + OFFSET if positions else np.zeros_like(array)
    kinds = np.zeros_like(array) if types is None else np.array(types, np.int64)
    return np.stack([array, array * array % 97, places, kinds], axis=1)


class _Graph:
    """Nodes, weights and signature of one file."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[TensorSpec] = []
        self.outputs: list[TensorSpec] = []

    def take(self, name: str, dtype: str, *shape: int | str) -> str:
        self.inputs.append(TensorSpec(name=name, dtype=dtype, shape=shape))
        return name

    def give(self, name: str, *shape: int | str) -> None:
        self.outputs.append(TensorSpec(name=name, dtype="float32", shape=shape))

    def const(self, value: object, dtype: type = np.int64) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def __call__(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def save(self, path: Path) -> Graph:
        values = [
            [helper.make_tensor_value_info(s.name, _KINDS[s.dtype], s.shape) for s in specs]
            for specs in (self.inputs, self.outputs)
        ]
        graph = helper.make_graph(self.nodes, "synthetic", *values, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
        model.ir_version = 10
        onnx.save(model, path)
        return Graph(file=path.name, inputs=tuple(self.inputs), outputs=tuple(self.outputs))


def _tokens(g: _Graph, ids: str, places: str | None, types: str) -> str:
    """e of tokens, [..., HIDDEN]."""
    numbers = np.arange(VOCAB)
    table = np.zeros((VOCAB, HIDDEN))
    table[:, 0], table[:, 1] = numbers, numbers * numbers % 97
    e = g("Gather", g.const(table, np.float32), ids)
    kinds = np.zeros((2, HIDDEN))
    kinds[1, 3] = 1
    e = g("Add", e, g("Gather", g.const(kinds, np.float32), types))
    if places is None:
        return e
    by_place = np.zeros((POSITIONS, HIDDEN))
    by_place[:, 2] = np.arange(POSITIONS)
    return g("Add", e, g("Gather", g.const(by_place, np.float32), places))


def _row_sums(g: _Graph, e: str, mask: str) -> str:
    """S of rows, [num_rows, 1, HIDDEN], of e [num_rows, longest, HIDDEN]."""
    real = g("Unsqueeze", g("Cast", mask, to=TensorProto.FLOAT), g.const([2]))
    return g("ReduceSum", g("Mul", e, real), g.const([1]), keepdims=1)


def _hidden(g: _Graph, e: str, sums: str) -> str:
    return g("Add", g("Mul", e, g.const(2, np.float32)), sums)


def _packed_text(g: _Graph) -> tuple[str, str]:
    """S [num_rows, 1, HIDDEN] and hidden states [num_tokens, HIDDEN]."""
    ids, places, types = (
        g.take(name, "int64", 1, "num_tokens") for name in ("input_ids", "position_ids", "token_type_ids")
    )
    pad, unpad = g.take("pad_index", "int64", "num_rows", "longest"), g.take("unpad_index", "int64", "num_tokens")
    mask = g.take("attention_mask", "int32", "num_rows", "longest")
    flat = g("Reshape", _tokens(g, ids, places, types), g.const([-1, HIDDEN]))
    view = g("Gather", flat, pad)
    sums = _row_sums(g, view, mask)
    hidden = g("Reshape", _hidden(g, view, sums), g.const([-1, HIDDEN]))
    return sums, g("Gather", hidden, unpad)


def _padded_text(g: _Graph) -> tuple[str, str]:
    """S [num_rows, 1, HIDDEN] and hidden states [num_rows, longest, HIDDEN]."""
    ids, types, mask = (
        g.take(name, "int64", "num_rows", "longest") for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    e = _tokens(g, ids, None, types)
    sums = _row_sums(g, e, mask)
    return sums, _hidden(g, e, sums)


def make_text_encoder(
    out: Path,
    task: str = "classify",
    layout: str = "packed",
    *,
    name: str = "",
    labels: Sequence[str] = ("no", "maybe", "yes"),
    embedding: EmbeddingHead | None = None,
    max_tokens: int = 256,
) -> Path:
    """Write a bundle for classify, rerank, classify_tokens, answer, embed or fill_mask to ``out`` and return it.

    ``embedding``: its dimensions other than 4, the hidden states', make a graph ``projection``. The tokenizer has one
    token for each byte.
    """
    g = _Graph()
    sums, hidden = (_packed_text if layout == "packed" else _padded_text)(g)
    by_token = ("num_tokens",) if layout == "packed" else ("num_rows", "longest")
    if task == "embed":
        embedding = embedding or EmbeddingHead(pooling="mean", dimensions=HIDDEN)
        g("Identity", hidden, name="token_embeddings")
        g.give("token_embeddings", *by_token, HIDDEN)
    elif task == "fill_mask":
        flat = g("Reshape", hidden, g.const([-1, HIDDEN]))
        picked = g("Gather", flat, g.take("logits_index", "int64", "num_logits"))
        g("MatMul", picked, g.const(head(VOCAB), np.float32), name="logits")
        g.give("logits", "num_logits", VOCAB)
    elif task in ("classify_tokens", "answer"):
        width = 2 if task == "answer" else len(labels)
        g("MatMul", hidden, g.const(head(width), np.float32), name="logits")
        g.give("logits", *by_token, width)
    else:
        rows = g("Reshape", sums, g.const([-1, HIDDEN]))
        g("MatMul", rows, g.const(head(len(labels)), np.float32), name="logits")
        g.give("logits", "num_rows", len(labels))
    graphs = {"encoder": g}
    if embedding is not None and embedding.dimensions != HIDDEN:
        graphs["projection"] = _projection(embedding.dimensions)
    spec = TextInput(
        max_tokens=max_tokens, pad_id=0, position_offset=OFFSET, mask_id=3 if task == "fill_mask" else None
    )
    has_labels = task in ("classify", "rerank", "classify_tokens")
    fields = {"labels": tuple(labels) if has_labels else (), "embedding": embedding}
    return _write(out, graphs, name=name or out.name, task=task, layout=layout, input=spec, **fields)


def make_image_encoder(
    out: Path,
    task: str = "classify_image",
    *,
    name: str = "",
    labels: Sequence[str] = ("dark", "light"),
    height: int = 4,
    width: int = 6,
) -> Path:
    """Write a bundle for classify_image: the sums of the three channels times the head's first three rows; or for
    embed_image: those sums."""
    g = _Graph()
    pixels = g.take("pixel_values", "float32", "num_rows", 3, height, width)
    spec, fields = ImageInput(height=height, width=width), {"name": name or out.name, "task": task, "layout": "equal"}
    if task == "embed_image":
        g("ReduceSum", pixels, g.const([2, 3]), keepdims=0, name="embedding")
        g.give("embedding", "num_rows", 3)
        vectors = EmbeddingHead(pooling=None, dimensions=3)
        return _write(out, {"encoder": g}, input=spec, embedding=vectors, **fields)
    sums = g("ReduceSum", pixels, g.const([2, 3]), keepdims=0)
    g("MatMul", sums, g.const(head(len(labels))[:3], np.float32), name="logits")
    g.give("logits", "num_rows", len(labels))
    return _write(out, {"encoder": g}, input=spec, labels=tuple(labels), **fields)


def make_audio_encoder(
    out: Path, layout: str = "equal", *, name: str = "", vocabulary: Sequence[str] = ("<pad>", "|", "a", "b")
) -> Path:
    """Write a bundle for transcribe: a frame is the sum of 4 samples, logits are that sum times (0, 1, 2, ...)."""
    g = _Graph()
    values = g.take("input_values", "float32", "num_rows", "num_samples")
    if layout == "padded":
        mask = g.take("attention_mask", "int64", "num_rows", "num_samples")
        values = g("Mul", values, g("Cast", mask, to=TensorProto.FLOAT))
    frames = g("Conv", g("Unsqueeze", values, g.const([1])), g.const(np.ones((1, 1, 4)), np.float32), strides=[4])
    by_frame = g("Transpose", frames, perm=[0, 2, 1])
    g("MatMul", by_frame, g.const([np.arange(len(vocabulary))], np.float32), name="logits")
    g.give("logits", "num_rows", "num_frames", len(vocabulary))
    spec = AudioInput(sampling_rate=16_000, min_samples=4, max_samples=4000)
    ctc = CtcHead(vocabulary=tuple(vocabulary), blank_id=0, samples_per_frame=4)
    return _write(out, {"encoder": g}, name=name or out.name, task="transcribe", layout=layout, input=spec, ctc=ctc)


def make_sound_encoder(
    out: Path, labels: Sequence[str] = ("silence", "noise"), spectrum: SpectrumInput | None = None
) -> Path:
    """Write a bundle for classify_audio: logits are the mean of samples, or of a ``spectrum``, times (0, 1, ...)."""
    g = _Graph()
    if spectrum is None:
        values = g.take("input_values", "float32", "num_rows", "num_samples")
    else:
        sizes = spectrum.num_mel_bins, spectrum.num_frames
        spectra = g.take("input_features", "float32", "num_rows", *sizes)
        values = g("Reshape", spectra, g.const([-1, sizes[0] * sizes[1]]))
    mean = g("ReduceMean", values, g.const([1]), keepdims=1)
    g("MatMul", mean, g.const([np.arange(len(labels))], np.float32), name="logits")
    g.give("logits", "num_rows", len(labels))
    spec = spectrum or AudioInput(sampling_rate=16_000, min_samples=4, max_samples=4000, samples_per_frame=4)
    fields = {"name": out.name, "task": "classify_audio", "layout": "equal", "labels": tuple(labels)}
    return _write(out, {"encoder": g}, input=spec, **fields)


def _projection(dimensions: int) -> _Graph:
    g = _Graph()
    pooled = g.take("pooled", "float32", "num_rows", HIDDEN)
    g("MatMul", pooled, g.const(head(dimensions), np.float32), name="embedding")
    g.give("embedding", "num_rows", dimensions)
    return g


def _write(out: Path, graphs: Mapping[str, _Graph], **fields: Any) -> Path:
    out.mkdir(parents=True)
    saved = {name: graph.save(out / f"{name}.onnx") for name, graph in graphs.items()}
    files = [graph.file for graph in saved.values()]
    if isinstance(fields["input"], TextInput):
        byte_tokenizer().save(str(out / TOKENIZER_FILE))
        files.append(TOKENIZER_FILE)
    manifest = EncoderManifest(
        architecture="synthetic",
        target="cpu",
        precision="fp32",
        graphs=saved,
        files={f: FileEntry(size=(out / f).stat().st_size, sha256=sha256(out / f)) for f in files},
        parity=Parity(
            max_abs_error=0.0, cosine=1.0, greedy_agreement=1.0, tolerance="none: built, not exported", cases=()
        ),
        source=Origin(id="synthetic"),
        exporter_version="0",
        **fields,
    )
    (out / MANIFEST_FILE).write_text(json.dumps(manifest.model_dump(mode="json"), indent=1), encoding="utf-8")
    return out
