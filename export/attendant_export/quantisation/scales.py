"""Scales of blocks in a file: as few bytes as hold them exactly. A graph makes float32 of them when it is opened."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from attendant_export.graph.nodes import Editor

Floats = npt.NDArray[np.float32]

_GROUPS = (16, 8)  # blocks that share a factor, the most first
_SPREAD = 7  # powers of two between whole numbers of 8 bits
_FLOAT = int(ir.DataType.FLOAT)


def is_half(numbers: Floats) -> bool:
    """Whether half precision holds just these numbers."""
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float16).astype(np.float32) == numbers).all())


def factored(numbers: Floats) -> tuple[Floats, npt.NDArray[np.int8]] | None:
    """Numbers [N, blocks] as products: a factor for each group of neighbours, [N, groups, 1], and a whole number for
    each of them, [N, groups, group] int8; None where there are no such factors.

    The factor is the greatest common divisor of a group. So scales that a format has in two steps, a small whole number
    times one float for several blocks, are found again, whatever they were multiplied by, if it was a power of two.
    """
    for size in _GROUPS:
        if numbers.shape[1] % size:
            continue
        groups = numbers.reshape(len(numbers), -1, size)
        parts, powers = np.frexp(groups.astype(np.float64))  # parts of 24 bits
        lowest = np.where(groups == 0, np.iinfo(np.int32).max, powers).min(axis=-1, keepdims=True)
        if int((np.where(groups == 0, lowest, powers) - lowest).max(initial=0)) > _SPREAD:
            continue
        lowest = np.where(lowest == np.iinfo(np.int32).max, 0, lowest)
        whole = np.ldexp(parts, np.where(groups == 0, 0, powers - lowest) + 24).astype(np.int64)
        divisor = np.gcd.reduce(whole, axis=-1, keepdims=True)
        counts = whole // np.maximum(divisor, 1)
        if counts.min(initial=0) >= -128 and counts.max(initial=0) <= 127:
            return np.ldexp(divisor.astype(np.float64), lowest - 24).astype(np.float32), counts.astype(np.int8)
    return None


def write_scales(editor: Editor, numbers: Floats, name: str) -> ir.Value:
    """``numbers`` [N, blocks] as a value of float32: an initializer, or at the beginning of the graph what makes it of
    initializers of half precision or of whole numbers with factors."""
    first = next(iter(editor.graph))  # a look-up of tokens at the beginning may read them, too
    if is_half(numbers):
        half = editor.constant(numbers.astype(np.float16), name)
        return editor.before(first, "Cast", [half], to=_FLOAT)
    found = factored(numbers)
    if found is None:
        return editor.constant(numbers, name)
    factors, counts = found
    narrow = factors.astype(np.float16) if is_half(factors) else factors
    wide = editor.constant(narrow, f"{name}_factor")
    if narrow.dtype == np.float16:
        wide = editor.before(first, "Cast", [wide], to=_FLOAT)
    steps = editor.before(first, "Cast", [editor.constant(counts, f"{name}_count")], to=_FLOAT)
    product = editor.before(first, "Mul", [wide, steps])
    shape = editor.constant(np.array(numbers.shape, np.int64), f"{name}_shape")
    return editor.before(first, "Reshape", [product, shape])
