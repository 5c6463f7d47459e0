"""Routes: names that callers use as models, and what answers them. The rooms below know nothing of them."""
