"""A sweep over concurrencies: how many calls a second a model answers, and how long each takes, over each protocol."""
