"""Adapters of peft: what their settings say (``settings``), their tensors (``files``), and their way into a model
(``merging``, by the names that ``names`` finds)."""
