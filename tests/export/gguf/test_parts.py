"""A model in several GGUF files is the model in one."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import pytest
import torch
from attendant_export.errors import SourceError
from attendant_export.source.gguf.file import open_gguf
from attendant_export.source.resolving import resolve

from tests.export.gguf.writing import make_model, write

COUNT = 3


def name(number: int, count: int = COUNT, stem: str = "tiny") -> str:
    return f"{stem}-{number:05d}-of-{count:05d}.gguf"


def part(path: Path, number: int, names: list[str], total: int, source: Path) -> None:
    """Writes part ``number`` as llama-gguf-split does: those after the first have only what says which they are."""
    writer, read = gguf.GGUFWriter(path, "llama"), gguf.GGUFReader(source)
    writer.add_uint16("split.no", number - 1)
    writer.add_uint16("split.count", COUNT)
    writer.add_int32("split.tensors.count", total)
    if number == 1:
        for field in read.fields.values():
            if not field.name.startswith("GGUF.") and field.name != "general.architecture":
                inner = field.types[-1] if len(field.types) > 1 else None
                writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in read.tensors:
        if tensor.name in names:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of the three parts of tiny.gguf, which lies beside it."""
    whole = write(tmp_path / "tiny.gguf", make_model("llama"), lambda name: "Q4_0").path
    names = list(open_gguf(whole).tensors)
    (tmp_path / "parts").mkdir()
    for number in range(1, COUNT + 1):
        part(tmp_path / "parts" / name(number), number, names[number - 1 :: COUNT], len(names), whole)
    return tmp_path / "parts"


@pytest.mark.parametrize("given", ["", name(1), name(3)], ids=["folder", "first", "last"])
def test_any_of_them_stands_for_the_whole(parts: Path, given: str) -> None:
    found, wanted = resolve(str(parts / given)), resolve(str(parts.parent / "tiny.gguf"))
    assert found.id == wanted.id == "tiny"
    assert found.config == wanted.config
    assert (found.path / "tokenizer.json").read_text() == (wanted.path / "tokenizer.json").read_text()
    assert found.quantised is not None
    assert wanted.quantised is not None
    assert found.quantised.weights.keys() == wanted.quantised.weights.keys()
    assert found.quantised.precision == wanted.quantised.precision == "int4"
    for key, weight in wanted.quantised.weights.items():
        assert torch.equal(found.quantised.weights[key].read(), weight.read()), key


def test_a_missing_part_is_named(parts: Path) -> None:
    (parts / name(2)).unlink()
    with pytest.raises(SourceError, match=r"part 1 of 3 of a model, and .*tiny-00002-of-00003\.gguf is missing"):
        resolve(str(parts / name(1)))


def test_a_part_by_another_name_is_refused(parts: Path) -> None:
    (parts / name(2)).rename(parts / "second.gguf")
    with pytest.raises(SourceError, match=r"part 2 of 3 .* has to end in -00002-of-00003\.gguf"):
        resolve(str(parts / "second.gguf"))


def test_parts_that_do_not_belong_together_are_refused(parts: Path) -> None:
    shutil.copy(parts / name(3), parts / name(2))
    with pytest.raises(SourceError, match=r"00002-of-00003\.gguf says that it is part 3 of 3, not 2 of 3"):
        resolve(str(parts))
    whole = parts.parent / "tiny.gguf"
    names = list(open_gguf(whole).tensors)
    part(parts / name(2), 2, names[2::COUNT], len(names), whole)
    with pytest.raises(SourceError, match=r"is in several parts of .*: they are not of one model"):
        resolve(str(parts))
    part(parts / name(2), 2, names[1:2], len(names), whole)
    with pytest.raises(SourceError, match=rf"have \d+ tensors, and the first says that they are {len(names)}"):
        resolve(str(parts))


def test_parts_of_two_models_ask_which(parts: Path) -> None:
    shutil.copy(parts / name(1), parts / name(1, stem="other"))
    with pytest.raises(SourceError, match="several GGUF files"):
        resolve(str(parts))
