"""The live page: what the server is at, boxes to try its models, and what they looked at."""
