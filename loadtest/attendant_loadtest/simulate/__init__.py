"""Many servers in thought: the real scheduler, on a clock that goes by what steps take."""
