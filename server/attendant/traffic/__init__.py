"""Calls that are kept: what a line of a file holds, and files that stay within a size."""
