"""A GGUF file becomes the model that it was made of: every architecture, every type, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from attendant_export.decoders.source import load_decoder
from attendant_export.errors import ExportError, SourceError, TokenizerError, UnsupportedModel
from attendant_export.source.formats import gguf_of
from attendant_export.source.gguf.file import TYPES, open_gguf
from attendant_export.source.resolving import resolve

from tests.export.gguf.blocks import HALVES, random_blocks
from tests.export.gguf.writing import CONFIGS, byte_words, make_model, write

TOKENS = torch.tensor([[0, 5, 17, 3, 99, 250, 311, 42, 7, 199, 23, 64, 5, 8, 9, 12, 77, 31, 2, 120, 14, 1, 90]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, use_cache=False).logits[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_answers_as_the_one_it_was_made_of(tmp_path: Path, name: str) -> None:
    written = write(tmp_path / "tiny.gguf", make_model(name))
    source = load_decoder(resolve(str(written.path)))
    assert source.model.config.model_type == written.model.config.model_type
    # gemma's norms lose their last bit to the 1 that is added to them
    torch.testing.assert_close(logits(source.model), logits(written.model), rtol=1e-4, atol=1e-4)
    assert source.words.chat_templates["default"].startswith("{% for m in messages %}")
    assert source.model.generation_config.eos_token_id == [1]
    assert source.model.config.max_position_embeddings == 128


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"])
def test_types_hold_what_they_held(tmp_path: Path, kind: str) -> None:
    written = write(tmp_path / "tiny.gguf", make_model("llama"), lambda name: kind)
    found = load_decoder(resolve(str(written.path))).model.state_dict()
    for key, weight in written.model.state_dict().items():
        assert torch.equal(found[key], weight), key


@pytest.mark.parametrize("kind", HALVES)
def test_other_types_are_what_transformers_makes_of_them(tmp_path: Path, kind: str) -> None:
    """Two readers that nobody here wrote agree over random blocks."""
    from transformers.integrations.gguf.dequant import dequantize

    form = gguf.GGMLQuantizationType[kind]
    elements, _size = gguf.GGML_QUANT_SIZES[form]
    blocks = random_blocks(kind, 2, 3 * elements)
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("output.weight", blocks, raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = open_gguf(tmp_path / "one.gguf").tensors["output.weight"]
    wanted = dequantize(torch.from_numpy(blocks.ravel()), int(form)).numpy().reshape(2, 3 * elements)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.values(), wanted, rtol=1e-6)


def test_names_in_the_metadata(tmp_path: Path) -> None:
    written = write(tmp_path / "Tiny-Q8.gguf", make_model("llama"))
    folder = resolve(str(written.path))
    assert folder.id == "Tiny-Q8"
    assert resolve(str(tmp_path)).id == "Tiny-Q8"  # the only file of its folder
    assert folder.config["bos_token_id"] == 0


def test_a_folder_of_several_files_asks_which(tmp_path: Path) -> None:
    for name in ("tiny-q4.gguf", "mmproj-tiny.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(SourceError, match=r"several GGUF files \(mmproj-tiny\.gguf, tiny-q4\.gguf\); give the path"):
        resolve(str(tmp_path))


def test_weights_of_transformers_go_before_a_file_beside_them(tmp_path: Path) -> None:
    for name in ("a.gguf", "model.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert gguf_of(tmp_path) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"split.count": 3, "split.no": 1}, r"part 2 of 3 of a model; .* has to end in -00002-of-00003\.gguf"),
        ({"general.type": "mmproj"}, r"projector of a multimodal model \(mmproj\)"),
        ({"general.type": "adapter"}, "an adapter alone"),
        ({"llama.expert_count": 8}, "its layers have experts"),
        ({"llama.rope.scaling.type": "ntk"}, "'ntk'; allowed: none, linear, yarn, longrope"),
        ({"llama.rope.scaling.type": "longrope"}, r"the tensor rope_factors_long\.weight is missing"),
        ({"llama.feed_forward_length": "wide"}, r"feed_forward_length of its metadata is of type str; int is read"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_files_that_are_no_whole_model(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "tiny.gguf", make_model("llama"), more=more).path
    with pytest.raises(ExportError, match=message):
        resolve(str(path))


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModel, match="'mamba': GGUF files of this architecture are not read; read are llama"):
        resolve(str(tmp_path / "other.gguf"))


def test_a_missing_field_and_a_missing_tensor_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", make_model("llama"), skip=("blk.1.ffn_down.weight",)).path
    with pytest.raises(SourceError, match=r"lack 1 tensors of the model, first 'model\.layers\.1\.mlp\.down_proj"):
        load_decoder(resolve(str(path)))
    path = write(tmp_path / "more.gguf", make_model("llama"), architecture="qwen3").path
    with pytest.raises(SourceError, match=r"lack 4 tensors of the model, first .*k_norm"):
        load_decoder(resolve(str(path)))


def test_tensors_that_the_model_has_no_place_for_are_named(tmp_path: Path) -> None:
    def sinks(writer: gguf.GGUFWriter) -> None:
        byte_words(writer)
        writer.add_tensor("blk.0.attn_sinks.weight", np.zeros(4, np.float32))

    path = write(tmp_path / "sinks.gguf", make_model("llama"), words=sinks).path
    with pytest.raises(UnsupportedModel, match=r"has a tensor blk\.0\.attn_sinks\.weight, which models of this kind"):
        load_decoder(resolve(str(path)))
    path = write(tmp_path / "biased.gguf", make_model("llama-biased"), architecture="qwen2").path
    with pytest.raises(
        UnsupportedModel, match=r"has 8 tensors that models of this kind have not, first 'model\.layers"
    ):
        load_decoder(resolve(str(path)))


@pytest.mark.parametrize("end", [3, 20, 400, -100])
def test_a_file_that_ends_too_early(tmp_path: Path, end: int) -> None:
    path = write(tmp_path / "tiny.gguf", make_model("llama")).path
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(SourceError, match=r"tiny\.gguf cannot be read as GGUF"):
        resolve(str(path))


def test_files_that_are_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(64))
    with pytest.raises(SourceError, match="cannot be read as GGUF: GGUF magic invalid"):
        resolve(str(path))
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(SourceError, match=r"a\.gguf is a pointer of git-LFS"):
        resolve(str(path))


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    kind = gguf.GGMLQuantizationType.TQ1_0
    writer.add_tensor("output.weight", gguf.quantize(np.zeros((2, 256), np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(SourceError, match=f"output.weight is of type TQ1_0; read are {', '.join(TYPES)}"):
        open_gguf(tmp_path / "a.gguf")
    content = bytearray((tmp_path / "a.gguf").read_bytes())
    place = content.index(b"output.weight") + len(b"output.weight") + 4 + 2 * 8
    content[place : place + 4] = (99).to_bytes(4, "little")
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(SourceError, match=r"unknown type \(.*99.*\); read are F32"):
        open_gguf(tmp_path / "a.gguf")


def test_a_file_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", make_model("llama"), words=lambda writer: None).path
    with pytest.raises(TokenizerError, match=r"has no tokenizer \(tokenizer\.ggml\.model\)"):
        resolve(str(path))


def test_another_task_than_to_generate(tmp_path: Path) -> None:
    folder = resolve(str(write(tmp_path / "tiny.gguf", make_model("llama"), words=byte_words).path))
    with pytest.raises(SourceError, match="exported for task generate"):
        folder.pretrained("AutoModel")
