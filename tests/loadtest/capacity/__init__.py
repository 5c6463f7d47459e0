"""The highest rate that is fast enough."""
