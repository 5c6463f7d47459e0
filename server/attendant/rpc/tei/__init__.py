"""The contract of clients of Text Embeddings Inference, over the services of the front end."""
