"""Checks and benchmarks where there is an NVIDIA GPU: does a paged bundle compute the right thing there, how fast."""
