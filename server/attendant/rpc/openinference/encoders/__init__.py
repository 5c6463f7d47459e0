"""Models that encode, behind named tensors: a port for each task."""
