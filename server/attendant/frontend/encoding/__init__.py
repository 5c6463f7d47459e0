"""Calls that encode: inputs to rows, rows among the rows of other calls, outputs to results."""
