"""Hands: the only importer of onnxruntime. Sessions, KV buffers, runners and the sampler; no policy."""
