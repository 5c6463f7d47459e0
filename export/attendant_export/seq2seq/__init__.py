"""Encoder-decoders: translation, summaries and speech as a graph that reads and one that answers."""
