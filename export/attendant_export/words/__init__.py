"""What a model folder says of words: the tokenizer, the special tokens and the chat templates that transformers makes
of it, as a bundle holds them."""

from attendant_export.words.folder import Words, read_words, words_of

__all__ = ["Words", "read_words", "words_of"]
