"""The log: lines as text or JSON, one for each request, written by a thread of its own."""
