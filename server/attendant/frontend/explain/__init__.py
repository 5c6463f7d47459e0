"""Calls that explain: subjects to tokens, jobs and calls of other rooms, what they gave to weights and shares."""
