"""What the text of an answer has to be like, as rules of the next token. The only importer of llguidance."""
