"""Calls that hear: recordings to windows, windows to generations, tokens to segments."""
