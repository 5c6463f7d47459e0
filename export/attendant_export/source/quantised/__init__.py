"""Checkpoints whose weights are quantised already, read without the libraries that made them.

``scheme`` says which method a folder's files speak of, ``tensors`` reads what is in them, and a module for each method
(``fp8``, ``mxfp4``, ...) makes :class:`~attendant_export.source.quantised.weights.Weight` of the tensors that belong
together. ``loading`` makes a model of these, one tensor at a time.
"""
