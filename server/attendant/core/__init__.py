"""The words every room shares. Standard library and numpy only."""
