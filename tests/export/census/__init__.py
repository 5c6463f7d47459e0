"""The census: which classes of transformers come out of a real export right, and why the others do not."""
