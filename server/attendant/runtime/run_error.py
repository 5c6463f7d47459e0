"""What ONNX Runtime or a device's driver raises in a run is one error above this room."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from onnxruntime.capi import onnxruntime_pybind11_state as _ort

from attendant.core.errors import DeviceFailed

P = ParamSpec("P")
T = TypeVar("T")

ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,  # what a bound run raises
    UnicodeDecodeError,  # its words for a damaged graph, where they hold bytes of it
    *(kind for kind in vars(_ort).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
"""Its exceptions, which share no base class but Exception."""


_RUN_ERRORS: tuple[type[Exception], ...] = (*ORT_ERRORS, DeviceFailed)


class RunError(Exception):
    """A graph could not be run; the cause is the exception of ONNX Runtime or of a call of the device, with its words.

    It never reaches a caller: a loader makes it a BundleError or DeviceOutOfMemory, an engine's loop a StepFailed.
    """


def raises_run_error(function: Callable[P, T]) -> Callable[P, T]:
    """Makes what ONNX Runtime or a call of the device raises in a function a :class:`RunError`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except _RUN_ERRORS as error:
            raise RunError(str(error)) from error

    return call
