"""What the metadata and the tensors of factors say of rotary embeddings, as a config of transformers has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from attendant_export.errors import SourceError
from attendant_export.source.gguf.file import GgufFile

FACTORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that divide frequencies."""

_SCALINGS = ("none", "linear", "yarn", "longrope")
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_TRAINED_AT = (8192, 4096, 2048, 16384, 32768)
"""Lengths that Llama 3's rule may have been made for: the file has only what came of it."""


def rope_parameters(file: GgufFile, head_size: int) -> dict[str, Any]:
    """The entry ``rope_parameters`` of a config.

    Raises:
        SourceError: a way of scaling that is not known; says which are.
    """
    arch = file.architecture
    base = shortest(file.field(f"{arch}.rope.freq_base", float, 10000.0))
    found: dict[str, Any] = {"rope_type": "default", "rope_theta": base}
    turned = file.field(f"{arch}.rope.dimension_count", int, head_size)
    if turned != head_size:
        found["partial_rotary_factor"] = turned / head_size
    if FACTORS[0] in file.tensors:
        return found | _llama3(file, base, turned)
    if FACTORS[1] in file.tensors:
        return found | _longrope(file)
    return found | scaling(file)


def scaling(file: GgufFile) -> dict[str, Any]:
    """What ``rope.scaling`` says: nothing, linear or YaRN."""
    prefix = f"{file.architecture}.rope.scaling."
    kind = file.field(f"{prefix}type", str, "none")
    if kind not in _SCALINGS:
        raise SourceError(f"{file.path}: {prefix}type is {kind!r}; allowed: {', '.join(_SCALINGS)}")
    factor = shortest(file.field(f"{prefix}factor", float, 1.0))
    if kind == "linear" and factor not in (0.0, 1.0):
        return {"rope_type": "linear", "factor": factor}
    if kind == "longrope":
        raise SourceError(f"{file.path}: its rotary embeddings are longrope, and the tensor {FACTORS[1]} is missing")
    if kind != "yarn":
        return {}
    found: dict[str, Any] = {"rope_type": "yarn", "factor": factor}
    trained = file.fields.get(f"{prefix}original_context_length")
    if trained:
        found["original_max_position_embeddings"] = int(trained)
    for name, theirs in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
        if f"{prefix}{theirs}" in file.fields:
            found[name] = shortest(file.field(f"{prefix}{theirs}", float))
    unread = [
        name for name in ("yarn_ext_factor", "yarn_attn_factor", "attn_factor") if f"{prefix}{name}" in file.fields
    ]
    for name in unread:
        if file.field(f"{prefix}{name}", float) != 1.0:
            raise SourceError(f"{file.path}: {prefix}{name} is {file.fields[prefix + name]}; only 1 is read")
    return found


def shortest(number: float) -> float:
    """A number of single precision as it was written: 1e-05 and not 9.999999747378752e-06."""
    return float(str(np.float32(number)))


def _llama3(file: GgufFile, base: float, turned: int) -> dict[str, Any]:
    """Llama 3's rule, whose divisors the file holds; found again by what it gives."""
    divisors = file.tensors[FACTORS[0]].values().ravel()
    if np.all(divisors == 1):
        return {}
    factor = shortest(float(divisors.max()))
    for trained in _TRAINED_AT:
        rule = {"factor": factor, **_LLAMA3, "original_max_position_embeddings": trained}
        made = _divisors(rule, base, turned)
        if made.shape == divisors.shape and np.allclose(made, divisors, rtol=1e-4):
            return {"rope_type": "llama3", **rule}
    raise SourceError(
        f"{file.path}: the divisors of {FACTORS[0]} are none of Llama 3's rule with a factor of {factor:g} and a "
        f"trained length of {', '.join(map(str, _TRAINED_AT))}"
    )


def _divisors(rule: dict[str, Any], base: float, turned: int) -> npt.NDArray[np.float64]:
    """By what Llama 3 divides each frequency, [turned / 2] (transformers' ``_compute_llama3_parameters``)."""
    wavelengths = 2 * np.pi * base ** (np.arange(0, turned, 2) / turned)
    low, high, trained = rule["low_freq_factor"], rule["high_freq_factor"], rule["original_max_position_embeddings"]
    smooth = (trained / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / rule["factor"] + smooth)
    long = np.where(wavelengths > trained / low, rule["factor"], between)
    divisors: npt.NDArray[np.float64] = np.where(wavelengths < trained / high, 1.0, long)
    return divisors


def _longrope(file: GgufFile) -> dict[str, Any]:
    prefix = f"{file.architecture}.rope.scaling."
    long, short = (file.tensors[name].values().ravel() for name in FACTORS[1:])
    trained = file.field(f"{prefix}original_context_length", int)
    found: dict[str, Any] = {
        "rope_type": "longrope",
        "long_factor": [shortest(float(each)) for each in long],
        "short_factor": [shortest(float(each)) for each in short],
        "original_max_position_embeddings": trained,
    }
    if f"{prefix}attn_factor" in file.fields:
        found["attention_factor"] = shortest(file.field(f"{prefix}attn_factor", float))
    return found
