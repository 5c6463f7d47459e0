"""``attendant replay``: answers that were kept are made again, and what differs is told."""
