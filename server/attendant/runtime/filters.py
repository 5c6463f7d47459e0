"""Filters over tokens that weigh all of those that are left: typical, epsilon, eta and top-h sampling."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from attendant.core.sampling import SamplingParams

Weights = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def likely_enough(weights: Weights, params: SamplingParams) -> Flags:
    """Which of ``weights`` [n], of any sum, ``typical_p``, ``epsilon_cutoff`` and ``eta_cutoff`` leave, one after the
    other, as ``generate`` applies them: [n], at least one of them."""
    kept: Flags = weights > 0
    if params.typical_p < 1:
        kept &= _typical(_shares(weights, kept), params.typical_p)
    if params.epsilon_cutoff:
        kept = _above(_shares(weights, kept), params.epsilon_cutoff)
    if params.eta_cutoff:
        shares = _shares(weights, kept)
        kept = _above(shares, min(params.eta_cutoff, math.sqrt(params.eta_cutoff) * math.exp(-_entropy(shares))))
    return kept


def entropy_size(weights: Weights, top_h: float) -> int:
    """How many of ``weights`` [n], largest first, have at most ``top_h`` of their entropy; at least one."""
    shares = weights / weights.sum()
    terms = -shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    return max(1, int((terms.cumsum() <= top_h * terms.sum()).sum()))


def _shares(weights: Weights, kept: Flags) -> Weights:
    """Probabilities [n] of those that are kept; 0 of the others."""
    left = np.where(kept, weights, 0.0)
    shares: Weights = left / left.sum()
    return shares


def _entropy(shares: Weights) -> float:
    likely = shares[shares > 0]
    return -float((likely * np.log(likely)).sum())


def _typical(shares: Weights, mass: float) -> Flags:
    """Tokens whose information is nearest to the entropy, until they have ``mass`` (Meister et al. 2022)."""
    information = np.full(len(shares), np.inf)
    likely = shares > 0
    information[likely] = np.abs(-np.log(shares[likely]) - _entropy(shares))
    order = information.argsort(kind="stable")
    last = min(int((shares[order].cumsum() < mass).sum()), len(shares) - 1)
    kept: Flags = information <= information[order[last]]
    return kept


def _above(shares: Weights, least: float) -> Flags:
    """Those of at least ``least``, and the largest."""
    kept: Flags = (shares >= least) & (shares > 0)
    kept[shares.argmax()] = True
    return kept
