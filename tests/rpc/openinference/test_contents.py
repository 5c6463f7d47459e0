"""Tensors on the wire: what is written is what is read, of all types; what does not fit is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attendant.core.errors import InvalidRequest
from attendant.rpc.openinference.contents import check_shape, contents_of, raw_of, read_contents, read_raw
from attendant.rpc.openinference.datatypes import KINDS
from attendant.rpc.openinference.ports import Datatype, InferAnswer, Tensor, TensorSpec
from attendant.rpc.openinference.reading import infer_call
from attendant.rpc.openinference.writing import infer_response
from attendant_proto.openinference import inference_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, np.ndarray]:
    """A type and values of it."""
    datatype = draw(st.sampled_from(list(KINDS)))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        count = int(np.prod(shape))
        values = np.empty(count, object)
        values[:] = draw(st.lists(st.binary(max_size=9), min_size=count, max_size=count))
        return datatype, values.reshape(shape)
    return datatype, draw(arrays.arrays(KINDS[datatype].dtype, shape))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether they are equal, to the bit."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()


@given(tensors())
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read(tensor: tuple[Datatype, np.ndarray]) -> None:
    datatype, values = tensor
    raw = raw_of(values, datatype)
    assert same(read_raw(raw, datatype, values.shape, "it"), values)
    contents = contents_of(values, datatype)
    assert (contents is None) == (datatype in ("FP16", "BF16"))
    if contents is not None:
        again = pb.InferTensorContents.FromString(contents.SerializeToString())
        read = read_contents(again, datatype, values.shape, "it")
        if values.dtype.kind == "f":  # a number that is none has many bits, of which a message keeps what it likes
            assert np.array_equal(read, values, equal_nan=True)
        else:
            assert same(read, values)


def test_numbers_are_read_where_they_are() -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    values = read_raw(data, "FP32", (2, 3), "it")
    assert not values.flags.owndata
    assert np.shares_memory(values, np.frombuffer(data, "<f4"))
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "words"),
    [
        (b"123", "FP32", (1,), "it has 3 bytes; allowed: 4, as shape [1] has 1 elements of FP32, 4 bytes each"),
        (b"12345678", "INT64", (2**31 - 1, 2**31 - 1), "it has 8 bytes; allowed: 36893488113059364872, as"),
        (b"", "INT8", (0, 3), None),
        (b"\x02", "BOOL", (1,), "it has a byte that is neither 0 nor 1"),
        (b"\1\0\0\0", "BYTES", (1,), "it ends within element 0"),
        (b"\xff\xff\xff\xff", "BYTES", (1,), "it ends within element 0"),
        (b"\0\0\0\0\1\0\0", "BYTES", (2,), "it has 7 bytes; allowed: at least 8"),
        (b"\4\0\0\0abcd\1\0\0", "BYTES", (2,), "it ends within element 1"),
        (b"\0\0\0\0x", "BYTES", (1,), "it has 1 bytes after its 1 elements"),
        (b"", "BYTES", (2**31 - 1,) * 3, "it has 0 bytes; allowed: at least"),
    ],
)
def test_raw_bytes_that_do_not_fit(data: bytes, datatype: Datatype, shape: tuple[int, ...], words: str | None) -> None:
    if words is None:
        assert read_raw(data, datatype, shape, "it").shape == shape
        return
    with pytest.raises(InvalidRequest) as caught:
        read_raw(data, datatype, shape, "it")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("contents", "datatype", "words"),
    [
        ({"int_contents": [1]}, "INT64", "it has int_contents; allowed: int64_contents, for INT64"),
        ({"int64_contents": [1], "fp32_contents": [1]}, "INT64", "it has fp32_contents; allowed: int64_contents"),
        ({"int64_contents": [1, 2]}, "INT64", "it.int64_contents has 2 elements; allowed: 1, as the shape is [1]"),
        ({}, "FP32", "it.fp32_contents has 0 elements; allowed: 1"),
        ({"fp32_contents": [1]}, "FP16", "it has fp32_contents; allowed: raw_input_contents only, for FP16"),
        ({}, "BF16", "it has no elements; allowed: raw_input_contents only, for BF16"),
        ({"int_contents": [128]}, "INT8", "it.int_contents has 128 to 128; allowed, for INT8: -128 to 127"),
        ({"uint_contents": [2**16]}, "UINT16", "it.uint_contents has 65536 to 65536; allowed, for UINT16: 0 to 65535"),
    ],
)
def test_contents_that_do_not_fit(contents: dict[str, Any], datatype: Datatype, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_contents(pb.InferTensorContents(**contents), datatype, (1,), "it")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("shape", [(-1,), (2, -3), (2**31,), (2**62, 0), (0, 2**31 - 1, 2**31 - 1)])
def test_sizes_that_no_tensor_has(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="allowed: sizes of 0 to 2147483647"):
        check_shape(shape, "shape")


class Echo:
    """A port that takes all types, and is never asked anything here."""

    decoupled = False
    inputs = (
        TensorSpec("text", "BYTES", (-1,)),
        TensorSpec("ids", "INT64", (-1, -1), optional=True, also=("INT32",)),
        TensorSpec("pixels", "FP32", (-1, 3, 2), optional=True),
    )
    outputs = (TensorSpec("one", "FP32", (-1,)), TensorSpec("two", "BYTES", (-1,)))

    def answer(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nobody asks")


def message(**fields: Any) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(model_name="m", **fields)


def an_input(name: str, datatype: str, shape: list[int], **fields: Any) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, **fields)


TEXT = an_input("text", "BYTES", [1], contents={"bytes_contents": [b"a"]})
RAW_TEXT = an_input("text", "BYTES", [1])
RAW = b"\1\0\0\0a"
IN_MEMORY = {"shared_memory_region": pb.InferParameter(string_param="x")}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "inputs[text] is missing; allowed: BYTES of shape [-1]"),
        ({"inputs": [TEXT, TEXT]}, "inputs[text] is there twice"),
        ({"inputs": [an_input("x" * 300, "BYTES", [1])]}, f"inputs[{'x' * 100}...] is not an input of this model"),
        ({"inputs": [TEXT], "raw_input_contents": [RAW, RAW]}, "raw_input_contents has 2 entries; allowed: 1"),
        ({"inputs": [TEXT], "raw_input_contents": [RAW]}, "inputs[text].contents is beside raw_input_contents"),
        ({"inputs": [an_input("text", "FP32", [1])]}, "inputs[text].datatype is 'FP32'; allowed: BYTES of shape [-1]"),
        ({"inputs": [an_input("text", "STR", [1])]}, "inputs[text].datatype is 'STR', which is no type of tensors"),
        ({"inputs": [an_input("text", "BYTES", [1, 2])]}, "inputs[text].shape is [1, 2]; allowed: BYTES of shape [-1]"),
        ({"inputs": [an_input("text", "BYTES", [])]}, "inputs[text].shape is []; allowed"),
        ({"inputs": [an_input("text", "BYTES", [-1])]}, "inputs[text].shape is [-1]; allowed: sizes of 0"),
        ({"inputs": [an_input("text", "BYTES", [1] * 1000)]}, "inputs[text].shape is [1, 1, 1, 1, 1, 1, 1, 1"),
        ({"inputs": [TEXT, an_input("ids", "UINT64", [1, 1])]}, "inputs[ids].datatype is 'UINT64'; allowed: INT64 or"),
        ({"inputs": [TEXT, an_input("pixels", "FP32", [1, 3, 4])]}, "inputs[pixels].shape is [1, 3, 4]; allowed: FP32"),
        (
            {"inputs": [an_input("text", "BYTES", [1], parameters=IN_MEMORY)]},
            "inputs[text].parameters[shared_memory_reg",
        ),
        (
            {"inputs": [TEXT], "outputs": [{"name": "no"}]},
            "outputs[no] is not an output of this model; allowed: one, two",
        ),
        ({"inputs": [TEXT], "outputs": [{"name": "one"}] * 2}, "outputs[one] is there twice"),
        (
            {"inputs": [TEXT], "outputs": [{"name": "one", "parameters": {"classification": {"int64_param": 1}}}]},
            "outputs[one].parameters[classification] is set",
        ),
        (
            {"inputs": [TEXT], "outputs": [{"name": "one", "parameters": {"size": {"int64_param": 1}}}]},
            "outputs[one].parameters[size] is not known; allowed here: binary_data",
        ),
        (
            {"inputs": [TEXT], "outputs": [{"name": "one", "parameters": IN_MEMORY}]},
            "outputs[one].parameters[shared_memory_region] is set",
        ),
        (
            {
                "inputs": [TEXT],
                "outputs": [{"name": "one", "parameters": {"binary_data": {"bool_param": True}}}, {"name": "two"}],
            },
            "outputs differ in binary_data",
        ),
        ({"inputs": [TEXT], "parameters": {"a": {}}}, "parameters[a] has no value"),
    ],
)
def test_requests_that_do_not_fit(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        infer_call(message(**fields), "m", Echo())
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        ({"inputs": [TEXT]}, False),
        ({"inputs": [RAW_TEXT], "raw_input_contents": [RAW]}, True),
        ({"inputs": [TEXT], "parameters": {"binary_data_output": {"bool_param": True}}}, True),
        ({"inputs": [TEXT], "outputs": [{"name": "one", "parameters": {"binary_data": {"bool_param": True}}}]}, True),
        (
            {
                "inputs": [RAW_TEXT],
                "raw_input_contents": [RAW],
                "outputs": [{"name": "one", "parameters": {"binary_data": {"bool_param": False}}}],
            },
            False,
        ),
    ],
)
def test_tensors_come_as_they_went_unless_somebody_says_otherwise(fields: dict[str, Any], raw: bool) -> None:
    request = message(**fields)
    call, terms = infer_call(request, "m", Echo())
    assert call.inputs["text"].values.tolist() == [b"a"]
    assert terms.raw is raw
    one = Tensor("one", "FP32", np.ones(2, np.float32))
    response = infer_response(request, "1", call, InferAnswer([one]), raw=bool(terms.raw))
    assert bool(response.raw_output_contents) is raw
    assert bool(response.outputs[0].contents.fp32_contents) is not raw
    half = Tensor("one", "FP16", np.ones(2, np.float16))
    response = infer_response(request, "1", call, InferAnswer([half]), raw=False)
    assert list(response.raw_output_contents) == [np.ones(2, np.float16).tobytes()]


def test_the_outputs_that_are_wanted_in_their_order() -> None:
    request = message(inputs=[TEXT], outputs=[{"name": "two"}, {"name": "one"}])
    call, _ = infer_call(request, "m", Echo())
    words = np.empty(1, object)
    words[:] = [b"w"]
    answer = InferAnswer([Tensor("one", "FP32", np.ones(1, np.float32)), Tensor("two", "BYTES", words)], {"n": 2**63})
    response = infer_response(request, "7", call, answer, raw=True)
    assert [output.name for output in response.outputs] == ["two", "one"]
    assert response.parameters["n"].uint64_param == 2**63
    assert response.model_version == "7"


VALUES = st.one_of(
    *(
        st.builds(pb.InferParameter, **{field: values})
        for field, values in {
            "bool_param": st.booleans(),
            "int64_param": st.integers(-(2**63), 2**63 - 1),
            "uint64_param": st.integers(0, 2**64 - 1),
            "double_param": st.floats(),
            "string_param": st.text(max_size=5),
        }.items()
    ),
    st.just(pb.InferParameter()),
)
NAMES = st.sampled_from(
    ["text", "ids", "pixels", "one", "two", "priority", "timeout", "sequence_id", "binary_data", "task", ""]
) | st.text(max_size=5)
CONTENTS = st.builds(
    pb.InferTensorContents,
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    fp32_contents=st.lists(st.floats(width=32), max_size=3),
    bytes_contents=st.lists(st.binary(max_size=3), max_size=3),
)
INPUTS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=NAMES,
    datatype=st.sampled_from([*KINDS, "", "FP8"]),
    shape=st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**63 - 1, -(2**63)]), max_size=4),
    parameters=st.dictionaries(NAMES, VALUES, max_size=2),
    contents=st.none() | CONTENTS,
)
OUTPUTS = st.builds(
    pb.ModelInferRequest.InferRequestedOutputTensor, name=NAMES, parameters=st.dictionaries(NAMES, VALUES, max_size=2)
)
REQUESTS = st.builds(
    pb.ModelInferRequest,
    parameters=st.dictionaries(NAMES, VALUES, max_size=3),
    inputs=st.lists(INPUTS, max_size=3),
    outputs=st.lists(OUTPUTS, max_size=2),
    raw_input_contents=st.lists(st.binary(max_size=12), max_size=3),
)


@given(REQUESTS)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_is_read_or_refused(request: pb.ModelInferRequest) -> None:
    """What is read fits the port, as it is promised."""
    call = error = None
    try:
        call, _ = infer_call(request, "m", Echo())
    except InvalidRequest as refused:
        error = refused
    if call is None:
        assert error is not None
        assert "allowed" in error.reason
        return
    specs = {spec.name: spec for spec in Echo.inputs}
    assert "text" in call.inputs
    for name, found in call.inputs.items():
        assert found.datatype in (specs[name].datatype, *specs[name].also)
        assert found.values.ndim == len(specs[name].shape)
        assert found.values.dtype == KINDS[found.datatype].dtype
