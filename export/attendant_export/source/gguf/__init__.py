"""Models in files of llama.cpp's format, GGUF: weights, settings and words in one file.

``file`` opens one, ``settings`` makes a config of its metadata, ``families`` knows what each architecture calls its
tensors and how it turned them, ``words`` makes the tokenizer, and ``folder`` is the model folder that comes of it.
"""
