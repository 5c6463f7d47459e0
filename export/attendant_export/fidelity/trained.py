"""Tells a model that knows natural text from one of random weights, by what it makes of the text, not by its name.

A damaged bundle of a trained model is one whose answers read worse, and a divergence of a few hundredths of a nat does
that. The same limits would refuse sound bundles of random models: where weights are drawn wide, a rounding early on
ends in another peaked distribution, and nobody reads the difference.

A low entropy is no mark of training: random models with wide weights are as sure of themselves as any, and wrong. Being
right is. No random model predicts text better than by chance, and being sure makes it worse: its loss is ln(vocab_size)
or more. So a model counts as trained if its loss is clearly below that, and below the entropy of the text's own token
counts besides: otherwise a tokenizer that makes one unknown token of everything would turn a model that says the same
token again and again into one that knows the text.

The tests' models are measured in tests/export/test_fidelity.py. Small models of a world of their own, such as the
embedded demo's, do not know this text and count as untrained: the weaker limits apply to them.
"""

from __future__ import annotations

import math

import numpy as np

from attendant_export.prompts import Ints

_OF_UNIFORM = 0.75


def is_trained(nll: float, targets: Ints, vocab_size: int) -> bool:
    """Whether a loss of ``nll`` nats a token on ``targets`` [n] is one of a model that knows such text."""
    return nll < _OF_UNIFORM * math.log(vocab_size) and nll < token_entropy(targets)


def token_entropy(tokens: Ints) -> float:
    """Nats a token of the best guess that knows how often each of ``tokens`` occurs among them, and nothing else."""
    _, counts = np.unique(tokens, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
