"""Text Embeddings Inference's HTTP API over the front end."""
