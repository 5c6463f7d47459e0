"""The commands, by noun: each gets a parser and gives what runs it, and imports what it needs only when it is named."""
