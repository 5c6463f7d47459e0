"""Peers of the benchmarks, each in an environment and a process of its own, over the same weights."""
