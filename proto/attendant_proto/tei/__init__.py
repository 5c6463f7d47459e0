"""The contract of clients of Text Embeddings Inference: generated from tei.proto."""
