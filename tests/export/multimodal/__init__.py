"""Models that read images or sound beside text, whose language model is exported."""
