"""How an API says that something went wrong: the shape of its errors, and its words for fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from attendant.core.errors import AttendantError, InvalidRequest

ErrorBody = Callable[[AttendantError, int], dict[str, Any]]
"""The object that ends a call with an error and this status."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the callers of one API expect where a call fails.

    Attributes:
        error_body: of an answer, and of an event of a stream that has begun.
        fields: the front end's names of fields and this API's, whole, or the first word alone, without indices; others
            have the same name in both.
        event: name of the event that tells an error inside a stream; empty for events without names.
    """

    error_body: ErrorBody
    fields: Mapping[str, str] = field(default_factory=dict)
    event: str = ""

    def of_requests(self) -> Dialect:
        """The same for what is wrong with a request before it is a call: its fields have this API's names already."""
        return replace(self, fields={})

    def in_its_words(self, error: AttendantError) -> AttendantError:
        """The error as callers of this API know its field."""
        if not isinstance(error, InvalidRequest):
            return error
        if (whole := self.fields.get(error.field)) is not None:
            return error.renamed(whole)
        own = error.field.partition("[")[0].partition(".")[0]
        said = self.fields.get(own)
        return error if said is None else error.renamed(said + error.field[len(own) :])

    def body_of(self, error: AttendantError, status: int) -> dict[str, Any]:
        """The object that ends a call with ``error``."""
        return self.error_body(self.in_its_words(error), status)
