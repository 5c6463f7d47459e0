"""What tests of models share."""

from tests.frozen import frozen

__all__ = ["frozen"]
