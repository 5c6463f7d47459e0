"""The canonical form of a receipt: digests below were computed by sha256sum from the form written out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attendant.core.beams import BeamParams
from attendant.core.receipt import Maker, Receipt, TokenDigest, arrays_digest, changed_fields, settings_text
from attendant.core.sampling import LengthDecay, SamplingParams
from attendant.core.token_sequences import TokenSequences

MAKER = Maker(
    model="café",
    version="1",
    bundle="ab",
    precision="int8",
    server="0.1.0",
    libraries={"onnxruntime": "1.32", "numpy": "2.4"},
    processor="x86_64 avx2",
    threads=2,
)
RECEIPT = Receipt(
    MAKER,
    "generate",
    settings_text({"temperature": 0.5, "max_tokens": 5}),
    "1f26e3f05d9d04d1a9a3dbd5e58a8a3e2ae7b0a2a9bbd4f2b2ab4bd2fcb7e5d9",
    "0c",
    seed=2**64 - 1,
)
CANONICAL = (
    '{"call":"generate","input":"1f26e3f05d9d04d1a9a3dbd5e58a8a3e2ae7b0a2a9bbd4f2b2ab4bd2fcb7e5d9",'
    '"maker":{"bundle":"ab","libraries":{"numpy":"2.4","onnxruntime":"1.32"},"model":"café","precision":"int8",'
    '"processor":"x86_64 avx2","server":"0.1.0","version":"1"},"output":"0c","seed":"18446744073709551615",'
    r'"settings":"{\"max_tokens\":5,\"temperature\":0.5}"}'
)


def test_the_digest_is_that_of_the_canonical_form() -> None:
    assert RECEIPT.canonical == CANONICAL
    assert RECEIPT.digest == "a09da61d605c2ad1761e28f22f4ecf44b8818b7b4ce18e602c4b0f830337c019"


def test_threads_are_told_and_change_no_digest() -> None:
    other = replace(RECEIPT, maker=replace(MAKER, threads=64))
    assert other.digest == RECEIPT.digest
    assert other == RECEIPT


@pytest.mark.parametrize("change", ["model", "version", "bundle", "precision", "server", "processor"])
def test_everything_else_of_a_maker_does(change: str) -> None:
    changed: dict[str, str] = {change: "other"}
    assert replace(RECEIPT, maker=replace(MAKER, **changed)).digest != RECEIPT.digest  # type: ignore[arg-type]


def test_a_greedy_answer_has_no_seed() -> None:
    assert '"seed"' not in replace(RECEIPT, seed=None).canonical
    assert replace(RECEIPT, seed=0).canonical.count('"seed":"0"') == 1


def test_tokens_are_hashed_as_little_endian_numbers_whatever_pieces_they_come_in() -> None:
    expected = "242045e2f1bb37769b514f182fd91b3d215324cb57f187cced1e9c62921dbac3"
    assert TokenDigest((1, 256)).hexdigest() == expected
    pieces = TokenDigest()
    pieces.update((1,))
    pieces.update(())
    pieces.update((256,))
    assert pieces.hexdigest() == expected


def test_arrays_are_hashed_with_name_type_and_shape() -> None:
    arrays: dict[str, np.ndarray] = {"x": np.array([[1, 2]], np.float32), "input_ids": np.array([1, 256], np.int64)}
    expected = "671c2d6f79756faafbab347fff03ab28c5b363c49dbd1718140dc5616232c594"
    assert arrays_digest(arrays).hex() == expected
    assert arrays_digest({"x": arrays["x"].T}) != arrays_digest({"x": arrays["x"]})
    assert arrays_digest({"x": arrays["x"].T}) == arrays_digest({"x": np.ascontiguousarray(arrays["x"].T)})


def test_settings_leave_out_what_is_off() -> None:
    params = SamplingParams(
        max_tokens=7,
        top_p=0.25,
        logit_bias={3: -1.5},
        suppressed=(4, 5),
        banned=TokenSequences([((1, 2), 0.0)]),
        length_decay=LengthDecay(2, 1.5, (9,)),
        opening=((1,), (2, 3)),
    )
    settings = {**changed_fields(params), "beam_search": BeamParams(3), "stop": (), "keep_special_tokens": False}
    assert settings_text(settings) == (
        '{"banned":[[[1,2],0.0]],"beam_search":{"num_beams":3},"length_decay":{"eos":[9],"factor":1.5,"start":2},'
        '"logit_bias":{"3":-1.5},"max_tokens":7,"opening":[[1],[2,3]],"suppressed":[4,5],"top_p":0.25}'
    )


def test_settings_left_at_their_defaults_are_none() -> None:
    assert settings_text(changed_fields(SamplingParams(max_tokens=1), "max_tokens")) == "{}"
