"""``attendant compare``: two models on the same prompts, their quality, their speed and what they cost."""
