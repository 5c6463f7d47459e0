"""The command, end to end, and what it leaves on disk."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
import pytest
from attendant.bundle import read_manifest, verify_files
from attendant_export import toolchain
from attendant_export.cli import main
from attendant_export.errors import ExportError, ToolchainError, UnsupportedModel
from attendant_export.export import bundle_name, export_bundle, export_model
from attendant_export.recipe import Recipe
from attendant_export.tracing import trace
from attendant_export.tracing.attention import MaskSpec

from tests.bundles import BOS, CHAT_TEMPLATE, EOS, PAD, make_llama, make_tokenizer
from tests.export.architectures import build


@pytest.fixture(scope="module")
def bundle(llama_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "bundle"
    assert main([str(llama_source), str(out), "--precision", "int8", "--reasoning-format", "think"]) == 0
    return out


def test_command_writes_a_bundle_that_checks_out(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    verify_files(bundle, manifest)
    assert sorted(path.name for path in bundle.iterdir()) == [
        "attention.onnx",
        "bundle.json",
        "decoder.onnx",
        "decoder.onnx.data",
        "tokenizer.json",
    ]
    assert (manifest.name, manifest.architecture, manifest.precision) == ("tiny-llama", "llama", "int8")
    assert (manifest.context_length, manifest.vocab_size) == (256, make_tokenizer().get_vocab_size())
    assert (manifest.chat_template, manifest.chat_templates, manifest.warnings) == (CHAT_TEMPLATE, {}, ())
    assert (manifest.tool_format, manifest.reasoning_format) == ("none", "think")
    assert manifest.template_variables == {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    assert manifest.special_tokens.model_dump() == {"bos": 1, "eos": (2,), "pad": 0}
    assert [layer.model_dump() for layer in manifest.kv_layers] == [
        {"num_kv_heads": 2, "head_size": 16, "dtype": "float32", "window": None}
    ] * 2
    assert manifest.source.id == "tiny-llama"
    assert manifest.source.versions["transformers"] == metadata.version("transformers")
    assert manifest.exporter_version == metadata.version("attendant")


def test_manifest_describes_the_graph(bundle: Path) -> None:
    entry = read_manifest(bundle).graphs["decoder"]
    inputs = {spec.name: (spec.dtype, spec.shape) for spec in entry.inputs}
    cache = ("float32", ("rows", 2, "max_length", 16))
    assert inputs == {
        "input_ids": ("int64", ("batch", "sequence")),
        "seqlens_k": ("int32", ("rows",)),
        "total_sequence_length": ("int32", (1,)),
        "query_seqlens": ("int32", ("rows",)),
        "pad_index": ("int64", ("rows", "longest", 2)),
        "unpad_index": ("int64", ("batch", "sequence", 2)),
        "logits_index": ("int64", ("num_logits",)),
        **{f"past_{kind}_{layer}": cache for layer in range(2) for kind in ("key", "value")},
    }  # no position_ids: rotation happens inside the attention nodes
    outputs = {spec.name: spec.shape for spec in entry.outputs}
    assert outputs["logits"] == ("num_logits", read_manifest(bundle).vocab_size)
    graph = onnx.load(bundle / entry.file, load_external_data=False).graph
    assert [value.name for value in graph.input] == [spec.name for spec in entry.inputs]
    assert [value.name for value in graph.output] == [spec.name for spec in entry.outputs]


def test_weights_lie_in_an_external_file_by_a_relative_path(bundle: Path) -> None:
    model = onnx.load(bundle / "decoder.onnx", load_external_data=False)
    external = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    assert len(external) > 10
    assert {entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"} == {
        "decoder.onnx.data"
    }


def test_graph_tells_nothing_of_the_machine_it_was_made_on(bundle: Path) -> None:
    content = (bundle / "decoder.onnx").read_bytes() + (bundle / "attention.onnx").read_bytes()
    assert str(Path(sys.prefix)).encode() not in content
    assert b"site-packages" not in content


def test_command_tells_its_stages_and_its_result(
    llama_source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(llama_source), str(tmp_path / "b"), "--name", "my-model"]) == 0
    captured = capfd.readouterr()
    assert [line.split()[0] for line in captured.err.splitlines() if line.endswith(" s")] == [
        *("start", "load", "trace", "rewrite", "write", "verify", "attention", "seal")
    ]
    assert "my-model (llama, fp32, " in captured.out
    assert "same greedy token at 100.0% of positions" in captured.out
    assert "attention from the served graph, layers x heads: self 2 x 4; within " in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./nowhere", "OUT"], "error: nowhere does not exist"),
        (["SOURCE", "SOURCE"], "exists; give another place or --overwrite"),
        (["SOURCE", "SOURCE", "--overwrite"], "--overwrite replaces bundles only"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, llama_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"SOURCE": str(llama_source), "OUT": str(tmp_path / "out")}
    assert main([places.get(argument, argument) for argument in arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "out").exists()


def test_overwrite_replaces_a_bundle(llama_source: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"
    export_bundle(llama_source, out, name="first")
    export_bundle(llama_source, out, name="second", overwrite=True)
    assert read_manifest(out).name == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_sigterm_leaves_nothing(llama_source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "attendant_export.cli", str(llama_source), str(tmp_path / "b")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        while not child.stderr.read(5).startswith("trace"[:5]):
            assert child.poll() is None
            child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 130
    assert list(tmp_path.iterdir()) == []


def test_in_memory_model_keeps_its_attention_and_its_methods() -> None:
    model = build("gptj")
    before = model.config._attn_implementation
    trace_model_once(model)
    assert model.config._attn_implementation == before
    assert "_attn" not in model.transformer.h[0].attn.__dict__


def trace_model_once(model: Any) -> None:
    from attendant_export.decoders.decoder import trace_decoder

    trace_decoder(model, 128)


def test_stateful_models_are_refused(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, RwkvConfig

    model = AutoModelForCausalLM.from_config(RwkvConfig(hidden_size=32, num_hidden_layers=2, vocab_size=300))
    with pytest.raises(UnsupportedModel, match=r"'rwkv'.*states beside the KV cache"):
        export_model(model, make_tokenizer().to_str(), tmp_path / "b")


def test_a_model_with_two_answers_is_refused(tmp_path: Path) -> None:
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 300, "ffn_dim": 32}
    config = transformers.MoshiConfig(**sizes, head_dim=16, sliding_window=8, max_position_embeddings=64)
    model = transformers.MoshiForCausalLM._from_config(config, attn_implementation="eager").eval()
    with pytest.raises(UnsupportedModel, match="the last 8 positions of it while it generates, and to all in a prompt"):
        export_model(model, make_tokenizer().to_str(), tmp_path / "b")


def test_encoders_are_refused(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, BertConfig

    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=99)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with pytest.raises(UnsupportedModel, match="tokens look at those after them"):
        export_model(model, make_tokenizer().to_str(), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_other_dtypes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"weights are torch\.bfloat16"):
        export_model(make_llama().bfloat16(), make_tokenizer().to_str(), tmp_path / "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"precision": "fp8"},
            "unknown precision 'fp8'; allowed for target cpu: fp32, int8, int8_blocks, int4, int4_small, mixed",
        ),
        ({"target": "cuda", "precision": "int8"}, "target cuda has no precision 'int8'; .*: bf16, fp16, int4"),
        ({"target": "tpu"}, "unknown target 'tpu'; allowed: cpu, cuda"),
        ({"kv_cache": "int8"}, "target cpu has no int8 KV cache; only target cuda has"),
        ({"target": "cuda", "precision": "bf16", "kv_cache": "int4"}, "unknown KV cache 'int4'; allowed: model, int8"),
    ],
)
def test_recipes_that_do_not_exist(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Recipe(**given)


@pytest.mark.parametrize(
    ("given", "name"),
    [("org/My Model!", "org-My-Model-"), ("..hidden", "hidden"), ("", "model"), ("a" * 200, "a" * 128)],
)
def test_bundle_name(given: str, name: str) -> None:
    assert bundle_name(given) == name


def test_mask_spec_stands_in_for_a_tensor() -> None:
    spec = MaskSpec(frozenset({"causal_mask_function"}))
    assert spec[:, :, :5] is spec
    assert spec.to("cpu") is spec


def test_missing_private_api_names_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_EXPORTERS", "transformers.gone")
    with pytest.raises(ToolchainError, match=r"transformers\.gone.*torch 2\.13\.0 and transformers 5\.23\.0"):
        trace_model_once(make_llama())


def test_pins_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    pins = {pin for pin in project["project"]["optional-dependencies"]["export"] if "==" in pin}
    assert pins == {f"{name}=={version}" for name, version in toolchain.PINNED.items()}


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(toolchain.PINNED, "transformers", "1.0.0")
    with pytest.raises(ToolchainError, match=r"transformers 5\.23\.0 is installed; the exporter drives"):
        toolchain.check_installed()


def test_manifest_is_json_that_people_can_read(bundle: Path) -> None:
    text = (bundle / "bundle.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text)["schema_version"] == 1


@pytest.mark.parametrize("option", ["--tool-format", "--reasoning-format"])
def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(
    option: str, llama_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(llama_source), str(tmp_path / "out"), option, "chatml"]) == 2
    assert re.search(rf"{option} is 'chatml'; allowed: .*harmony, none", capsys.readouterr().err)
