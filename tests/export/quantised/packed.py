"""Writers of weights of all experts of a layer in one tensor, as makers of checkpoints have them."""

from __future__ import annotations

import torch

from tests.export.quantised.folders import Packed, Packer

FP8 = torch.float8_e4m3fn
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
"""The values of 4-bit floats from 0 on, by their code."""


def nearest(scaled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes [..., n / 2] uint8 of 4-bit floats, two a byte, and the values that they stand for, [..., n]."""
    codes = (scaled.abs()[..., None] - E2M1).abs().argmin(-1)
    plain = torch.sign(scaled) * E2M1[codes]
    codes = (codes + 8 * (scaled < 0)).to(torch.uint8)
    return codes[..., ::2] | codes[..., 1::2] << 4, plain


def in_nvfp4(weight: torch.Tensor) -> Packed:
    """As compressed-tensors': ``weight_packed`` [N, K / 2], ``weight_scale`` [N, K / 16] E4M3, which
    ``weight_global_scale`` [1] divides."""
    whole = (448 * 6 / weight.abs().max()).reshape(1)
    blocks = weight.unflatten(-1, (-1, 16))
    scales = (blocks.abs().amax(-1) / 6 * whole).to(FP8)
    factors = (scales.float() / whole)[..., None]
    codes, plain = nearest(blocks / factors)
    tensors = {"weight_packed": codes.flatten(-2), "weight_scale": scales, "weight_global_scale": whole}
    return Packed(tensors, (plain * factors).flatten(-2))


def by_output(weight: torch.Tensor) -> Packed:
    """As FBGEMM's: [experts, K, N], with a scale for each output; those of ``down_proj`` [experts, N, 1]."""
    scales = weight.abs().amax(1, keepdim=True) / 448
    codes = (weight / scales).to(FP8)
    gate_up = 2 * weight.shape[1] <= weight.shape[2]
    stored = scales if gate_up else scales.transpose(1, 2)
    return Packed({"": codes, "_scale": stored}, codes.float() * scales)


def in_turned_nvfp4(weight: torch.Tensor) -> Packed:
    """As ModelOpt's: values [experts, K / 2, N], ``_weight_scale`` [experts, K / 16, N] and ``_weight_scale_2``."""
    found = in_nvfp4(weight.transpose(1, 2))
    values, scales, whole = found.tensors.values()
    tensors = {"": values.transpose(1, 2), "_weight_scale": scales.transpose(1, 2), "_weight_scale_2": 1 / whole}
    return Packed(tensors, found.plain.transpose(1, 2))


def by_row_of_each(weight: torch.Tensor) -> Packed:
    """``weight`` [experts, N, K] and ``weight_scale`` [experts, N, 1]."""
    scales = weight.abs().amax(2, keepdim=True) / 448
    codes = (weight / scales).to(FP8)
    return Packed({"weight": codes, "weight_scale": scales}, codes.float() * scales)


def of_each(pack: Packer, names: dict[str, str]) -> Packer:
    """``pack`` of each expert's matrix, stacked; ``names``: the ends of names, by those that ``pack`` has."""

    def stacked(weight: torch.Tensor) -> Packed:
        parts = [pack(expert) for expert in weight]
        tensors = {name: torch.stack([part.tensors[end] for part in parts]) for end, name in names.items()}
        return Packed(tensors, torch.stack([part.plain for part in parts]))

    return stacked
