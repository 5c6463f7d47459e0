"""Packages that nobody here wrote, against a real server over HTTP: they find what our own reading of an API misses."""
