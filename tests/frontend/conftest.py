"""What tests of the front end share."""

from tests.frozen import frozen

__all__ = ["frozen"]
