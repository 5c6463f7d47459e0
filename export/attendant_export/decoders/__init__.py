"""Causal language models: which can become a graph, how they are traced, verified and sealed."""
