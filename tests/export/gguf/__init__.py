"""Models in GGUF files: how they are read, and what bundles of them answer."""
