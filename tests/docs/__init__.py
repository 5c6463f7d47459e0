"""The pages of docs/ that are made from the code, and the tests of all pages."""
