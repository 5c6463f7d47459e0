"""Brain for work beside a model's own: whose turn it is on the model's thread, and what is kept of each run."""
