"""Forms with a file, as audio comes: read within limits, and checked field by field as other bodies are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from attendant.core.errors import InvalidRequest, RequestCancelled
from attendant.http.api.bodies import check_media, refusal

FILE = "file"
_MULTIPART = "multipart/form-data"
_MOST_FIELDS, _MOST_BYTES = 64, 64 * 1024  # of all fields beside the file, and of one of them

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Form(Generic[B]):
    """The fields of a form, and its file."""

    body: B
    file: bytes


async def read_form(request: Request, kind: type[B]) -> Form[B]:
    """The form of a request. Fields that end with ``[]``, or come more than once, are lists.

    Raises:
        InvalidRequest: it is no form, a field of it is not as it has to be, or there is no file.
        RequestCancelled: the caller hung up in the middle of it.
    """
    check_media(request, (_MULTIPART,))
    try:
        form = request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_BYTES)
        async with form as items:
            return await _read(items.multi_items(), kind)
    except ClientDisconnect:
        raise RequestCancelled("the caller has hung up") from None
    except (HTTPException, MultiPartException) as error:
        said = error.detail if isinstance(error, HTTPException) else error.message
        raise InvalidRequest("body", f"is no form: {said}") from None


async def _read(items: list[tuple[str, UploadFile | str]], kind: type[B]) -> Form[B]:
    fields: dict[str, Any] = {}
    file: UploadFile | None = None
    for key, value in items:
        if isinstance(value, UploadFile):
            if key != FILE:
                raise InvalidRequest(key[:100], f"is a file; allowed: {FILE} alone")
            file = value
        elif key.endswith("[]"):
            fields.setdefault(key[:-2], []).append(value)
        elif key in fields:
            raise InvalidRequest(key[:100], "comes twice")
        else:
            fields[key] = value
    if file is None:
        raise InvalidRequest(FILE, "is missing; allowed: a sound file, as a part of the form with a file name")
    fields.pop(FILE, None)
    for name, field in kind.model_fields.items():
        if isinstance(fields.get(name), str) and get_origin(field.annotation) is tuple:
            fields[name] = [fields[name]]  # a list of one
    try:
        body = kind.model_validate(fields, strict=False)
    except ValidationError as error:
        raise refusal(kind, error) from None
    return Form(body, await file.read())
