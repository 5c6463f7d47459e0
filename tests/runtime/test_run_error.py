"""Whatever ONNX Runtime raises while a graph runs is a RunError with its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attendant.runtime.run_error import ORT_ERRORS, RunError, raises_run_error
from attendant.runtime.session import SessionOptions, open_session
from onnx import TensorProto, helper, save


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    def vector(name: str, size: object) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [size])

    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "add", [vector("a", 3), vector("b", "n")], [vector("c", "m")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    path = tmp_path_factory.mktemp("add") / "add.onnx"
    save(model, path)
    return open_session(path, SessionOptions())


def floats(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)


def fed(session: Any, **feeds: np.ndarray) -> Any:
    return session.run(["c"], feeds)


def bound(session: Any, **feeds: np.ndarray) -> None:
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("c")
    session.run_with_iobinding(binding)


@pytest.mark.parametrize("run", [fed, bound])
@pytest.mark.parametrize(
    "feeds",
    [
        {"a": floats(4), "b": floats(4)},
        {"a": floats(3), "b": floats(2)},
        {"a": floats(3).astype(np.int64), "b": floats(3)},
    ],
    ids=["another shape", "shapes that do not go together", "another type"],
)
def test_a_run_that_fails_is_a_run_error(session: Any, run: Any, feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(RunError) as caught:
        raises_run_error(run)(session, **feeds)
    assert isinstance(caught.value.__cause__, ORT_ERRORS)
    assert str(caught.value) == str(caught.value.__cause__)


def test_what_is_no_fault_of_a_run_stays_what_it_is(session: Any) -> None:
    def wrong() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        raises_run_error(wrong)()
    assert raises_run_error(fed)(session, a=floats(3), b=floats(3))[0].tolist() == [0, 0, 0]
