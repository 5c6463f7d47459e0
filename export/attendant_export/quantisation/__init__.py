"""Weights in 8 or 4 bits, and what keeps a trained model's answers the same all the same.

``quantise`` is the way in: it looks at what flows through a graph on sample text (``activations``), moves large
channels of activations into the weights (``smoothing``), spreads what is left (``rotation``), and writes each product
in a format (``rows``, ``blocks``), with weights rounded so that errors make up for one another (``rounding``).
"""
