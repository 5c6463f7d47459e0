"""Anthropic's Messages API over the front end."""
