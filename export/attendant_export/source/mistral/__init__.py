"""Models in Mistral's own format: ``params.json``, ``consolidated*.safetensors`` and ``tekken.json``.

``settings`` makes a config of the first, ``words`` a tokenizer of the last, and ``folder`` is the model folder that
comes of it.
"""
