"""Elements in JSON: read exactly or refused by name, whatever comes; and back, or said to be no JSON's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest
from attendant.http.api.openinference.asking import infer_request
from attendant.http.api.openinference.elements import json_of_raw, raw_of_json
from attendant.rpc.openinference.contents import raw_of, read_raw
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import Datatype
from hypothesis import given, settings
from hypothesis import strategies as st

IN_JSON = [datatype for datatype, kind in KINDS.items() if kind.field is not None]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, np.ndarray]:
    datatype = draw(st.sampled_from(IN_JSON))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    dtype, count = KINDS[datatype].dtype, int(np.prod(shape, dtype=int))
    match dtype.kind:
        case "b":
            one: st.SearchStrategy[Any] = st.booleans()
        case "i" | "u":
            one = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        case "f":
            one = st.floats(width=32 if dtype.itemsize == 4 else 64, allow_nan=False, allow_infinity=False)
        case _:
            one = st.text(max_size=4).map(str.encode)
    flat = np.empty(count, dtype)
    flat[:] = draw(st.lists(one, min_size=count, max_size=count))
    return datatype, flat.reshape(shape)


def as_data(values: Any) -> Any:
    if isinstance(values, list):
        return [as_data(each) for each in values]
    return values.decode() if isinstance(values, bytes) else values


@given(tensors(), st.booleans())
@settings(deadline=None)
def test_what_is_written_is_read_to_the_bit(tensor: tuple[Datatype, np.ndarray], nested: bool) -> None:
    datatype, values = tensor
    data = as_data((values if nested and values.ndim and values.size else values.ravel()).tolist())
    raw = raw_of_json(json.loads(json.dumps(data)), datatype, values.shape, "data")
    assert raw == raw_of(values, datatype)
    back = json.loads(json.dumps(json_of_raw(raw, datatype, values.shape, "y"), allow_nan=False))
    assert back == as_data(values.ravel().tolist())
    if datatype != "BYTES":
        assert np.array(back, values.dtype).tobytes() == read_raw(raw, datatype, values.shape, "y").tobytes()


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "words"),
    [
        ([1, 2], "INT64", (3,), "has 2 elements; allowed: 3, as the shape is [3]"),
        ([1, True], "INT32", (2,), "has bool as element 1; allowed, for INT32: whole numbers"),
        ([1.0], "UINT8", (1,), "has float as element 0; allowed, for UINT8: whole numbers"),
        ([256], "UINT8", (1,), "has 256; allowed, for UINT8: 0 to 255"),
        ([-1], "UINT64", (1,), "has -1; allowed, for UINT64: 0 to 18446744073709551615"),
        ([2**63], "INT64", (1,), f"has {2**63}; allowed, for INT64: -9223372036854775808 to 9223372036854775807"),
        ([10**60], "INT64", (1,), "has a number of more than 40 digits; allowed, for INT64:"),
        ([10**400], "FP64", (1,), "has a number that is out of the range of FP64"),
        ([1e39], "FP32", (1,), "has a number that is out of the range of FP32"),
        ([1], "BOOL", (1,), "has int as element 0; allowed, for BOOL: true or false"),
        ([None], "FP32", (1,), "has null as element 0; allowed, for FP32: numbers"),
        ([1] * 5000 + ["1"], "INT64", (5001,), "has str as element 5000; allowed, for INT64: whole numbers"),
        (["a", 1], "BYTES", (2,), "has int as element 1; allowed, for BYTES: texts"),
        ([0.5], "FP16", (1,), "is given, of FP16; allowed: bytes after the JSON"),
        ([0.5], "BF16", (1,), "is given, of BF16; allowed: bytes after the JSON"),
        ([[1, 2], [3]], "INT64", (2, 2), "is not nested as the shape [2, 2] says"),
        ([[1, 2], 3], "INT64", (2, 2), "is not nested as the shape [2, 2] says"),
        ([[1, 2, 3, 4]], "INT64", (2, 2), "is not nested as the shape [2, 2] says"),
        ([[1], [2]], "INT64", (2,), "has list as element 0; allowed, for INT64: whole numbers"),
        ([[[1]]], "INT64", (1, 1), "has list as element 0; allowed, for INT64: whole numbers"),
    ],
)
def test_data_that_does_not_fit(data: list[Any], datatype: Datatype, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        raw_of_json(data, datatype, shape, "data")
    assert str(refused.value).startswith(f"data {words}")


@pytest.mark.parametrize(
    ("values", "datatype", "words"),
    [
        (np.array([1, np.nan], np.float32), "FP32", "has values that are no finite numbers"),
        (np.array([np.inf]), "FP64", "has values that are no finite numbers"),
        (np.array([1], np.float16), "FP16", "is of FP16"),
        (np.array([b"\xff"], object), "BYTES", "has bytes that are no text in UTF-8"),
    ],
)
def test_values_that_json_cannot_have(values: np.ndarray, datatype: Datatype, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        json_of_raw(raw_of(values, datatype), datatype, values.shape, "y")
    assert str(refused.value).startswith(f"outputs[y] {words}, which JSON cannot have; allowed: with the parameter bin")


def body(tail: int = 0, **fields: Any) -> tuple[bytes, bytes]:
    return json.dumps(fields).encode(), bytes(tail)


def one(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "x", "datatype": "INT32", "shape": [2], **fields}]


SIZE = "inputs[x].parameters[binary_data_size]"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ((b"", b""), "body is not as it has to be: Invalid JSON"),
        ((b"[]", b""), "body is not as it has to be: "),
        ((b'{"inputs": []', b""), "body is not as it has to be: Invalid JSON"),
        ((b'{"inputs": ' + b"[" * 100_000, b""), "body is not as it has to be: Invalid JSON: recursion limit"),
        ((b'{"id": "\\ud800", "inputs": []}', b""), "body is not as it has to be: Invalid JSON"),
        ((b'{"inputs": [], "id": "\xff"}', b""), "body is not as it has to be: Invalid JSON"),
        (body(), "inputs is missing"),
        (body(inputs=None), "inputs is not as it has to be"),
        (body(inputs=[], more=1), "more is not known"),
        (body(inputs=[{"name": "x"}]), "inputs[0].datatype is missing"),
        (body(inputs=one(shape=["2"])), "inputs[0].shape[0] is not as it has to be"),
        (body(inputs=one(shape=[-2])), "inputs[x].shape is [-2]; allowed: sizes of 0 to"),
        (body(inputs=one(shape=[2**70])), "inputs[x].shape is [1180591620717411303424]; allowed: sizes of 0 to"),
        (body(inputs=one()), "inputs[x].data is missing; allowed: elements, or the parameter binary_data_size"),
        (body(inputs=one(data=[1], parameters={"binary_data_size": 8})), "inputs[x].data is beside binary_data_size"),
        (body(8, inputs=one(parameters={"binary_data_size": -8})), f"{SIZE} is -8; allowed: 0 to 8"),
        (body(8, inputs=one(parameters={"binary_data_size": 9})), f"{SIZE} is 9; allowed: 0 to 8"),
        (body(8, inputs=one(parameters={"binary_data_size": "8"})), f"{SIZE} is '8'; allowed: 0 to 8"),
        (body(8, inputs=one(parameters={"binary_data_size": True})), f"{SIZE} is True; allowed: 0 to 8"),
        (body(8, inputs=one(parameters={"binary_data_size": [1]})), f"{SIZE} is [1]; allowed: 0 to 8"),
        (
            body(8, inputs=one(parameters={"binary_data_size": [1] * 5000})),
            f"{SIZE} is [{'1, ' * 33}...; allowed: 0 to 8",
        ),
        (body(9, inputs=one(parameters={"binary_data_size": 8})), "body has 9 bytes after its JSON; allowed: 8"),
        (body(1, inputs=one(data=[1, 2])), "body has 1 bytes after its JSON; allowed: 0"),
        (body(inputs=[], parameters={"a": 2**64}), "parameters[a] is a whole number that has more than 64 bits"),
        (body(inputs=[], parameters={"a": [1]}), "parameters[a] is a list; allowed: a flag, a number or a text"),
        (body(inputs=one(data=[1, 2], parameters={"a": None})), "inputs[x].parameters[a] is null; allowed: a flag"),
        (
            body(inputs=[], parameters={"binary_data_output": 1}),
            "parameters[binary_data_output] is '1'; allowed: true or",
        ),
        (
            body(inputs=[], outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]),
            "outputs[y].parameters[binary_data] is 'yes'; allowed: true or false",
        ),
    ],
)
def test_requests_that_are_none(sent: tuple[bytes, bytes], words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        infer_request(*sent, "m", "")
    assert str(refused.value).startswith(words)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["x", "y", "binary_data_size", "binary_data", "shared_memory_region", "\x00"])
PARAMETERS = st.dictionaries(NAMES, JSON, max_size=2)
INPUTS = st.fixed_dictionaries(
    {"name": NAMES, "datatype": st.sampled_from([*KINDS, "FP8"]), "shape": st.lists(st.integers(-1, 3), max_size=3)},
    optional={"data": st.lists(JSON, max_size=4) | JSON, "parameters": PARAMETERS},
)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3) | JSON},
    optional={
        "parameters": PARAMETERS,
        "id": JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"parameters": PARAMETERS}), max_size=2),
    },
)


@given(BODIES | JSON, st.binary(max_size=24))
@settings(max_examples=500, deadline=None)
def test_whatever_comes_is_read_or_refused(sent: Any, tail: bytes) -> None:
    try:
        asked = infer_request(json.dumps(sent).encode(), tail, "m", "1")
    except InvalidRequest:
        return
    assert len(asked.message.raw_input_contents) == len(asked.message.inputs)
    assert asked.message.parameters["binary_data_output"].bool_param


def test_many_elements_are_read_in_pieces_that_are_one_tensor() -> None:
    values = np.arange(10_000, dtype=np.int32).reshape(100, 100)
    assert raw_of_json(values.tolist(), "INT32", (100, 100), "data") == values.tobytes()
    assert raw_of_json([], "INT32", (0,), "data") == b""
