"""What runs a server and what watches it. `python -m deploy` writes the files here that are made from code."""
