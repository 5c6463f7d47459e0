"""Locust users that make every call of every contract that the server speaks, in turn."""
