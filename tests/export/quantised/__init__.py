"""Checkpoints that are quantised already, made by writers of these tests from each format's published layout."""
