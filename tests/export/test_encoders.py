"""Text encoders against the torch model, and docs/encoders.md against every family and head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attendant.bundle import EncoderManifest, TextInput, read_any_manifest, verify_files
from attendant_export.cli import main
from attendant_export.drafts import Order
from attendant_export.encoders.export import Encoder, encoder_graph
from attendant_export.encoders.plan import EncoderPlan
from attendant_export.encoders.tasks import allowed_tasks, task_of
from attendant_export.encoders.text_plan import EncoderSource, plan_text
from attendant_export.errors import ExportError, UnsupportedModel, UnsupportedTask
from attendant_export.graph.nodes import nodes_of
from attendant_export.pipeline import export
from attendant_export.recipe import Recipe, RecipeRequest
from attendant_export.source.folder import SourceFolder

from tests.export import encoders_doc
from tests.export.encoder_families import FAMILIES, make_model
from tests.export.encoder_measure import Runner, make_plan, measure, sample_rows, saved

# One head of each family, each head in turn, is exported anew; BERT with all of its heads.
MEASURED = [
    *(("bert", head) for head in FAMILIES["bert"].heads),
    *(
        (name, family.heads[index % len(family.heads)])
        for index, (name, family) in enumerate(FAMILIES.items())
        if name != "bert" and index % 2 == 0
    ),
]


def test_at_least_16_families_are_documented_with_all_their_heads() -> None:
    assert len(FAMILIES) >= 16
    assert set(encoders_doc.read()) == set(encoders_doc.all_names()), "run python -m tests.export.encoders_doc"


@pytest.mark.parametrize(("name", "head"), encoders_doc.names())
def test_rows_run_together_as_documented(name: str, head: str) -> None:
    """The trial itself compares packed or padded rows with rows alone, in torch."""
    plan = make_plan(name, head)

    assert plan.layout == encoders_doc.read()[name, head].layout == _expected_layout(name, head)
    assert isinstance(plan.input, TextInput)
    assert plan.input.max_tokens >= 64
    counted_on = any(part in name for part in ("roberta", "camembert", "data2vec", "mpnet", "xmod"))
    assert plan.input.position_offset == (2 if counted_on else 0)


@pytest.mark.parametrize(("name", "head"), MEASURED)
def test_graph_gives_the_models_outputs(name: str, head: str) -> None:
    found = measure(name, head)
    documented = encoders_doc.read()[name, head]

    assert found.error <= documented.error_below
    assert (found.attention, found.nodes) == documented.counts
    assert found.exact >= documented.exact


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncoderPlan, Runner]:
    plan = make_plan("bert", "classify_tokens")
    graph, _ = encoder_graph(plan, Recipe(precision="int8"))
    return plan, saved(plan, graph, tmp_path_factory.mktemp("int8") / "encoder.onnx")


def test_int8_rows_do_not_depend_on_their_batch(int8: tuple[EncoderPlan, Runner]) -> None:
    _, runner = int8
    generator = np.random.default_rng(3)
    for _ in range(5):
        rows = sample_rows(generator.integers(2, 90, size=6).tolist())
        together = runner.run(rows)
        for row, found in zip(rows, together, strict=True):
            np.testing.assert_array_equal(found, runner.run([row])[0])


def test_int8_is_near_the_model(int8: tuple[EncoderPlan, Runner]) -> None:
    plan, runner = int8
    for case in plan.cases():
        feeds = {name: value for name, value in case.feeds.items() if name in runner.inputs}
        found = case.rows_of(runner.session.run(None, feeds)[0])
        cosine = (found * case.wanted).sum() / (np.linalg.norm(found) * np.linalg.norm(case.wanted))
        assert cosine >= 0.995


def test_half_precision_bundle_for_cuda(tmp_path: Path) -> None:
    plan = make_plan("distilbert", "classify")
    manifest = export(Encoder(plan), [Recipe("cuda", "fp16")], Order(tmp_path / "b", "half"))

    assert (manifest.target, manifest.precision) == ("cuda", "fp16")
    assert manifest.graphs["encoder"].outputs[0].dtype == "float32"
    assert manifest.parity.cosine >= 0.999


def test_outlier_channels_are_spread() -> None:
    plan = make_plan("bert", "embed")
    model = plan.spec(torch.float32).model
    with torch.no_grad():  # one channel of what the second layer reads is far larger than all others
        model.encoder.layer[0].output.LayerNorm.weight[3] *= 60
    plain = measure_cosine(plan_text(EncoderSource(model, "embed")))
    assert plain >= 0.999


def measure_cosine(plan: EncoderPlan) -> float:
    """Of an int8 graph with the model, over all cases."""
    import tempfile

    graph, _ = encoder_graph(plan, Recipe(precision="int8"))
    assert any("rotation" in str(value.name) for node in nodes_of(graph.graph, "MatMul") for value in node.inputs)
    with tempfile.TemporaryDirectory() as folder:
        runner = saved(plan, graph, Path(folder) / "encoder.onnx")
        case = plan.cases()[0]
        feeds = {name: value for name, value in case.feeds.items() if name in runner.inputs}
        found = case.rows_of(runner.session.run(None, feeds)[0])
    return float((found * case.wanted).sum() / (np.linalg.norm(found) * np.linalg.norm(case.wanted)))


@pytest.mark.parametrize(
    ("prefix", "config"), [("ConvBert", {"head_ratio": 2, "conv_kernel_size": 3}), ("Longformer", {})]
)
def test_a_family_whose_rows_cannot_run_together_is_refused(prefix: str, config: dict[str, Any]) -> None:
    import transformers

    torch.manual_seed(0)
    small = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    settings = getattr(transformers, f"{prefix}Config")(**small, vocab_size=300, **config)
    model = getattr(transformers, f"{prefix}Model")(settings).eval()
    with pytest.raises(UnsupportedModel, match=r"together|chunks"):
        plan_text(EncoderSource(model, "embed"))


@pytest.mark.parametrize(
    ("config", "tasks"),
    [
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a"}}, ("classify", "rerank", "embed")),
        ({"architectures": ["BertForSequenceClassification"]}, ("classify", "embed")),
        ({"architectures": ["RobertaForTokenClassification"]}, ("classify_tokens", "embed")),
        ({"architectures": ["BertForQuestionAnswering"]}, ("answer", "embed")),
        ({"architectures": ["ModernBertForMaskedLM"]}, ("fill_mask", "embed")),
        ({"architectures": ["BertModel"], "model_type": "bert"}, ("embed",)),
        ({"model_type": "bert"}, ("embed",)),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, ("generate", "embed")),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, ("generate", "embed")),
        ({"architectures": ["ViTForImageClassification"], "model_type": "vit"}, ("classify_image", "embed_image")),
        ({"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2"}, ("transcribe",)),
        ({"architectures": ["CLIPModel"], "model_type": "clip"}, ("embed", "embed_image")),
    ],
)
def test_a_config_tells_its_tasks(config: dict[str, Any], tasks: tuple[str, ...]) -> None:
    assert allowed_tasks(config, is_sentence_model=False) == tasks


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"id2label": {"0": "LABEL_0"}}, "rerank"),
        ({"id2label": {"0": "stars"}, "problem_type": "regression"}, "classify"),
        ({"id2label": {"0": "x"}, "problem_type": "regression", "sentence_transformers": {"version": "5"}}, "rerank"),
        ({"id2label": {"0": "no", "1": "yes"}}, "classify"),
    ],
)
def test_one_label_is_a_cross_encoder_unless_it_says_regression(
    tmp_path: Path, config: dict[str, Any], task: str
) -> None:
    content = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", **config}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert task_of(SourceFolder(tmp_path)) == task


def test_a_task_the_architecture_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertForMaskedLM"], "model_type": "bert"}))
    with pytest.raises(UnsupportedTask, match=r"BertForMaskedLM .* 'classify'; its tasks: fill_mask, embed"):
        task_of(SourceFolder(tmp_path), "classify")


def test_precisions_of_encoders() -> None:
    assert RecipeRequest("cuda").for_task("embed").precision == "fp16"
    assert RecipeRequest("cuda").for_task("generate").precision == "bf16"
    with pytest.raises(ExportError, match="allowed: fp32, int8"):
        Recipe(precision="int4").for_task("embed")
    with pytest.raises(ExportError, match="no KV cache"):
        Recipe("cuda", "fp16", "int8").for_task("classify")


@pytest.fixture(scope="module")
def classifier_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that gives several labels, with a tokenizer that pads and truncates, as a model folder."""
    folder = tmp_path_factory.mktemp("source") / "tiny-moderator"
    labels = {0: "insult", 1: "spam", 2: "threat"}
    model = make_model("bert", "classify", id2label=labels, problem_type="multi_label_classification")
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of words with [CLS] and [SEP] around them."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    words = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]", "the", "quick", "fox", "apple", "was"]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 0), ("[SEP]", 2)]
    )
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(length=32, pad_id=1)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 100}))


def test_command_detects_the_task_and_writes_a_bundle(
    classifier_source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(classifier_source), str(tmp_path / "b")]) == 0

    manifest: Any = read_any_manifest(tmp_path / "b")
    verify_files(tmp_path / "b", manifest)
    assert isinstance(manifest, EncoderManifest)
    assert (manifest.task, manifest.architecture, manifest.layout) == ("classify", "bert", "packed")
    assert (manifest.labels, manifest.problem) == (("insult", "spam", "threat"), "multi_label")
    assert manifest.input == TextInput(max_tokens=100, pad_id=1, vocab_size=300)
    assert manifest.parity.max_abs_error <= 1e-5
    tokenizer = json.loads((tmp_path / "b" / "tokenizer.json").read_text())
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None
    assert "tiny-moderator (classify, bert, fp32, " in capfd.readouterr().out


def test_command_refuses_a_task(classifier_source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(classifier_source), str(tmp_path / "b"), "--task", "answer"]) == 2
    assert "its tasks: classify, embed" in capfd.readouterr().err
    assert main([str(classifier_source), str(tmp_path / "b"), "--pooling", "cls"]) == 2
    assert "only embed has" in capfd.readouterr().err
    assert not (tmp_path / "b").exists()


def _expected_layout(name: str, head: str) -> str:
    # Its classifier averages over tokens within a module that takes the mask of the padded view for that of the tokens.
    return "padded" if (name, head) == ("nomic_bert", "classify") else FAMILIES[name].layout
