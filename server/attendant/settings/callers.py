"""The file of callers: who may call, by a token or a certificate, and what each may do."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from attendant.core.caller import Right
from attendant.core.errors import ConfigurationError
from attendant.settings.section import Section
from attendant.settings.yaml_files import parse_yaml, read_text
from attendant.settings.yaml_lines import Place, YamlLines

MOST_ROWS = 10_000


class CallerRow(Section):
    """A caller, known by one token or one certificate. Several rows may have one name: a caller with several tokens.

    Attributes:
        name: what the caller is called in logs, and whom its work is charged to.
        sha256: of the token, in hexadecimal.
        certificate: a URI or DNS name that the caller's certificate is for, or the common name of one for neither.
        models: patterns of the names that it may use.
        scopes: what it may do.
        expires: the moment from which it is not known any more; of a date the end of that day, in UTC.
    """

    name: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    certificate: Annotated[str, Field(pattern=r"^[!-~]{1,512}$")] | None = None
    models: tuple[Annotated[str, Field(pattern=r"^[!-~]{1,200}$")], ...] = ("*",)
    scopes: tuple[Right, ...] = (Right.INFER,)
    expires: datetime | date | None = None

    @field_validator("expires", mode="before")
    @classmethod
    def _is_a_day_or_a_moment(cls, value: object) -> object:
        if value is None or isinstance(value, date):  # a moment is a date, too
            return value
        raise ValueError("is no date; allowed: a day, as in 2027-01-31, or a moment, as in 2027-01-31 12:00:00")

    @model_validator(mode="after")
    def _is_known_by_one(self) -> Self:
        if (self.sha256 is None) == (self.certificate is None):
            found = "neither sha256 nor certificate" if self.sha256 is None else "both sha256 and certificate"
            raise ValueError(f"has {found}; allowed: one of them")
        return self

    def expires_s(self) -> float:
        """The moment from which it is not known any more, in seconds since 1970; infinite if there is none."""
        if self.expires is None:
            return math.inf
        if isinstance(self.expires, datetime):
            moment = self.expires
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        day = datetime(self.expires.year, self.expires.month, self.expires.day, tzinfo=UTC)
        return (day + timedelta(days=1)).timestamp()


_ROWS = TypeAdapter(tuple[CallerRow, ...])


def read_callers(path: Path) -> tuple[CallerRow, ...]:
    """The rows of the file at ``path``.

    Raises:
        ConfigurationError: one line that names the file, the line and the place, and what is allowed.
    """
    return parse_callers(read_text(path), str(path))


def parse_callers(text: str, name: str) -> tuple[CallerRow, ...]:
    """The rows of the file ``name`` with this text. Raises what :func:`read_callers` raises."""
    lines = YamlLines.of(text, name)
    data = parse_yaml(text, name)
    if not isinstance(data, list) or len(data) > MOST_ROWS:
        raise ConfigurationError(
            f"{name}: must be a list of at most {MOST_ROWS:,} callers, e.g. '- {{name: me, sha256: ...}}'"
        )
    try:
        rows = _ROWS.validate_python(data)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, lines)) from None
    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        key = row.sha256 or row.certificate or ""
        if key in seen:
            raise ConfigurationError(
                f"{lines.named((index,))}: is known by the same as [{seen[key]}]; allowed: by its own"
            )
        seen[key] = index
    return rows


def _explain(error: ValidationError, lines: YamlLines) -> str:
    first = error.errors()[0]
    place: Place = ()
    for part in first["loc"]:
        if (*place, part) in lines or first["type"] == "missing":
            place = (*place, part)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"there is no such field here; there are {', '.join(CallerRow.model_fields)}"
    elif not isinstance(first["input"], dict | list | tuple) and "sha256" not in place:
        message += f" (it is {str(first['input'])[:100]!r})"
    return f"{lines.named(place)}: {message}"
