"""The text of an answer told apart: reasoning, text, tool calls. Pure: pieces of text in, pieces of the three out."""
