"""ModelOpt and Quark: 8-bit floats, 4-bit floats and bytes of whole numbers, whichever each weight is.

Both name a weight's values ``weight``, whatever they are, and its scales ``weight_scale`` and ``weight_scale_2``.
ModelOpt has experts as transformers has them: where those of a layer are one tensor [experts, K, N], its values have
this name, its scales the same name with ``_weight_scale`` and ``_weight_scale_2`` after it, and FP4 is packed along K.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attendant_export.errors import SourceError
from attendant_export.source.quantised.compressed import read_bytes
from attendant_export.source.quantised.fp4 import FP4_SCALES, add_fp4, add_packed_fp4
from attendant_export.source.quantised.tensors import Tensors
from attendant_export.source.quantised.weights import Reading


def read_modelopt(tensors: Tensors, settings: Mapping[str, Any]) -> Reading:
    """Every weight of bytes, by the types of its tensors.

    Raises:
        SourceError: whole numbers of 4 bits, or a part that is missing or does not fit; names it.
    """
    reading = read_bytes(tensors, settings)
    for name in tensors:
        if tensors.dtype(name) == "U8" and f"{name}_weight_scale" in tensors:
            add_packed_fp4(reading, tensors, name)
        if not name.endswith(".weight") or tensors.dtype(name) not in ("U8", "I32"):
            continue
        if tensors.dtype(name) == "I32" or tensors.dtype(f"{name}_scale", "U8") not in FP4_SCALES:
            raise SourceError(
                f"{tensors.folder}: {name!r} holds whole numbers of 4 bits, which are not read as this library packs "
                "them; FP8, MXFP8, FP4 (MXFP4, NVFP4) and whole numbers of 8 bits are"
            )
        add_fp4(reading, tensors, name)
    return reading
