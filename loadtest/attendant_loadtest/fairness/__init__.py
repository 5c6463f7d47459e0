"""Whether callers share a model: one with very many requests beside some with few."""
