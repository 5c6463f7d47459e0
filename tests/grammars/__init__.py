"""What answers may be: the words of tokenizers, grammars, limits, and rules at work."""
