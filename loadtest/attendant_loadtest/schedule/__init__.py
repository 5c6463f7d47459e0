"""What is asked when: arrivals, lengths, shared prefixes and the like, drawn from a seed or read from a trace.

Nothing here sends anything: an open loop makes the requests, a simulator runs them on a clock of its own.
"""
