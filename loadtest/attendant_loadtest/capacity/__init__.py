"""The highest rate of arrivals at which a server is still fast enough, and what is used up then."""
