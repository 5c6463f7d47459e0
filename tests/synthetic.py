"""A tiny real decoder built node by node, without torch: one or two attention layers with random weights.

Its tokens depend on every earlier token and position, so a mixed-up KV cache cannot go unnoticed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from attendant.bundle import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    DType,
    FileEntry,
    GenerationDefaults,
    GeneratorManifest,
    Graph,
    KVLayer,
    Origin,
    Parity,
    SpecialTokens,
    TensorSpec,
    sha256,
)
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOLS_TEMPLATE = "{% for tool in tools or [] %}{{ tool.function.name }},{% endfor %}" + CHAT_TEMPLATE
"""Shows tools, and no format of calls."""
HERMES_TEMPLATE = "{% for tool in tools or [] %}<tool_call>{{ tool.function.name }}{% endfor %}" + CHAT_TEMPLATE
"""Shows tools as Hermes' templates do."""
SPECIAL = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
EOS = 2
_DTYPES: dict[int, DType] = {TensorProto.INT64: "int64", TensorProto.INT32: "int32", TensorProto.FLOAT: "float32"}


def byte_tokenizer() -> Tokenizer:
    """One token per byte after the special ones: every text has tokens, and characters split across tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate((*SPECIAL, *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


class _Builder:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def random(self, name: str, *shape: int, scale: float) -> str:
        return self.const(name, (self.rng.standard_normal(shape) * scale).astype(np.float32))

    def node(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, outputs, domain=domain, **attributes))
        return outputs[0]


def make_slow_bundle(out: Path, name: str = "slow", poison_token: int | None = None) -> Path:
    """One that gives a few hundred tokens a second, with room for long answers that do not end of themselves."""
    return make_synthetic_bundle(
        out,
        name=name,
        layers=8,
        heads=16,
        kv_heads=8,
        head_size=32,
        context_length=8192,
        eos_bias=-1e4,
        poison_token=poison_token,
    )


def make_synthetic_bundle(  # noqa: PLR0913, PLR0915 - all that a test may ask for
    out: Path,
    *,
    name: str = "synthetic",
    seed: int = 0,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    head_size: int = 8,
    context_length: int = 256,
    poison_token: int | None = None,
    nan_at: tuple[int, int] | None = None,
    eos_bias: float = 0.0,
    defaults: GenerationDefaults | None = None,
    ragged: bool = False,
    chat_template: str = CHAT_TEMPLATE,
    tokenizer: Tokenizer | None = None,
) -> Path:
    """Write a bundle to ``out`` and return it.

    ``poison_token``: a prompt that begins with this id makes the run raise inside ONNX Runtime; take one of the special
    tokens that are never generated. ``nan_at``: what is computed of this token at this position, and of all that
    look at it, is not a number. ``eos_bias``: added to the end token's logit: large negative values make answers
    run to max_tokens. ``ragged``: rows of a run may have different lengths, as in what is exported today.
    ``tokenizer``: in place of the one of bytes; its first tokens are ``SPECIAL``, too.
    """
    tokenizer = tokenizer or byte_tokenizer()
    vocab, hidden = tokenizer.get_vocab_size(), heads * head_size
    b = _Builder(seed)
    ids = "input_ids"
    if poison_token is not None:  # an index far outside the table makes Gather raise
        b.const("poison", np.array(poison_token, np.int64))
        b.const("far", np.array(10**6, np.int64))
        b.const("first", np.array(0, np.int64))
        b.node("Equal", ["input_ids", "poison"], ["is_id"])
        b.node("Equal", ["position_ids", "first"], ["is_first"])
        b.node("And", ["is_id", "is_first"], ["is_poison"])
        ids = b.node("Where", ["is_poison", "far", "input_ids"], ["checked_ids"])
    b.random("embedding", vocab, hidden, scale=1.0)
    b.random("positions", context_length, hidden, scale=0.5)
    b.node("Gather", ["embedding", ids], ["tok"])
    b.node("Gather", ["positions", "position_ids"], ["pos"])
    x = b.node("Add", ["tok", "pos"], ["x0"])
    if nan_at is not None:
        b.const("spoilt", np.array(nan_at[0], np.int64))
        b.const("spoilt_at", np.array(nan_at[1], np.int64))
        b.const("nan", np.array(np.nan, np.float32))
        b.const("last", np.array([-1], np.int64))
        b.node("Equal", ["input_ids", "spoilt"], ["is_it"])
        b.node("Equal", ["position_ids", "spoilt_at"], ["is_there"])
        b.node("And", ["is_it", "is_there"], ["is_spoilt"])
        b.node("Unsqueeze", ["is_spoilt", "last"], ["is_spoilt_row"])
        x = b.node("Where", ["is_spoilt_row", "nan", x], ["spoilt_x0"])
    b.const("norm", np.ones(hidden, np.float32))
    kv_names: list[tuple[str, str]] = []
    for i in range(layers):
        h = b.node("SimplifiedLayerNormalization", [x, "norm"], [f"h{i}"], axis=-1, epsilon=1e-5)
        for part, width in (("q", hidden), ("k", kv_heads * head_size), ("v", kv_heads * head_size)):
            b.random(f"w{part}{i}", hidden, width, scale=hidden**-0.5)
            b.node("MatMul", [h, f"w{part}{i}"], [f"{part}{i}"])
        names = [f"q{i}", f"k{i}", f"v{i}", f"past_key_{i}", f"past_value_{i}", "seqlens_k", "total_sequence_length"]
        if ragged:
            names += ["", "", "", "", b.const(f"sink{i}", np.full(heads, -1e30, np.float32))]
        presents = [f"a{i}", f"present_key_{i}", f"present_value_{i}"]
        b.node(
            "GroupQueryAttention", names, presents, "com.microsoft", num_heads=heads, kv_num_heads=kv_heads, scale=1.0
        )
        b.random(f"wo{i}", hidden, hidden, scale=2 * hidden**-0.5)
        b.node("MatMul", [f"a{i}", f"wo{i}"], [f"o{i}"])
        x = b.node("Add", [x, f"o{i}"], [f"x{i + 1}"])
        kv_names.append((f"key_{i}", f"value_{i}"))
    h = b.node("SimplifiedLayerNormalization", [x, "norm"], ["final"], axis=-1, epsilon=1e-5)
    b.const("flat", np.array([-1, hidden], np.int64))
    b.node("Reshape", [h, "flat"], ["rows"])
    b.node("Gather", ["rows", "logits_index"], ["picked"])
    b.random("head", hidden, vocab, scale=1.5 * hidden**-0.5)
    bias = np.zeros(vocab, np.float32)
    bias[EOS] = eos_bias
    bias[[0, 1, 3, 4, 5]] = -1e4  # never generate the other special tokens
    b.const("bias", bias)
    b.node("MatMul", ["picked", "head"], ["raw"])
    b.node("Add", ["raw", "bias"], ["logits"])

    cache = ("batch", kv_heads, "max_length", head_size)
    inputs = (
        TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),
        TensorSpec(name="position_ids", dtype="int64", shape=("batch", "sequence")),
        TensorSpec(name="seqlens_k", dtype="int32", shape=("batch",)),
        TensorSpec(name="total_sequence_length", dtype="int32", shape=(1,)),
        TensorSpec(name="logits_index", dtype="int64", shape=("num_logits",)),
        *(TensorSpec(name=f"past_{n}", dtype="float32", shape=cache) for pair in kv_names for n in pair),
    )
    outputs = (
        TensorSpec(name="logits", dtype="float32", shape=("num_logits", vocab)),
        *(TensorSpec(name=f"present_{n}", dtype="float32", shape=cache) for pair in kv_names for n in pair),
    )
    out.mkdir(parents=True)
    _save_graph(b, inputs, outputs, out / "decoder.onnx")
    graph = Graph(file="decoder.onnx", inputs=inputs, outputs=outputs)
    if ragged:
        graph = _made_ragged(out / "decoder.onnx")
    tokenizer.save(str(out / TOKENIZER_FILE))
    manifest = GeneratorManifest(
        name=name,
        task="generate",
        architecture="synthetic",
        target="cpu",
        precision="fp32",
        graphs={"decoder": graph},
        kv_layers=(KVLayer(num_kv_heads=kv_heads, head_size=head_size, dtype="float32"),) * layers,
        context_length=context_length,
        vocab_size=vocab,
        special_tokens=SpecialTokens(bos=1, eos=(EOS,), pad=0),
        generation_defaults=defaults or GenerationDefaults(),
        chat_template=chat_template,
        files={
            f: FileEntry(size=(out / f).stat().st_size, sha256=sha256(out / f))
            for f in ("decoder.onnx", TOKENIZER_FILE)
        },
        parity=Parity(
            max_abs_error=0.0, cosine=1.0, greedy_agreement=1.0, tolerance="none: built, not exported", cases=()
        ),
        source=Origin(id="synthetic"),
        exporter_version="0",
    )
    (out / MANIFEST_FILE).write_text(json.dumps(manifest.model_dump(mode="json"), indent=1), encoding="utf-8")
    return out


def _made_ragged(path: Path) -> Graph:
    """What the exporter does to a graph last."""
    import onnx_ir as ir
    from attendant_export.graph.ragged import allow_ragged_rows

    model = ir.load(path)
    assert allow_ragged_rows(model.graph)
    ir.save(model, path)
    saved = onnx.load(path).graph
    return Graph(file=path.name, inputs=tuple(map(_spec, saved.input)), outputs=tuple(map(_spec, saved.output)))


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=_DTYPES[tensor.elem_type], shape=shape)


def _save_graph(b: _Builder, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], path: Path) -> None:
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    graph = helper.make_graph(
        b.nodes,
        "synthetic",
        [helper.make_tensor_value_info(s.name, kinds[s.dtype], s.shape) for s in inputs],
        [helper.make_tensor_value_info(s.name, kinds[s.dtype], s.shape) for s in outputs],
        b.weights,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 10
    onnx.save(model, path)
