"""The folder that a model comes from: fetched, told from what is none, read and loaded."""
