"""Calls that generate: prompts to tokens, places and streams, tokens to text."""
