"""Folders in Mistral's own format."""
