"""What the calls of the protocol send, as JSON. A field that is null says nothing, as of clients that write all of
them."""

from __future__ import annotations

from typing import Any

from pydantic import RootModel

from attendant.http.api.bodies import ApiBody

Parameters = dict[str, Any]
"""Values by name. What reads them says of each what it may be."""


class InputBody(ApiBody):
    """One tensor of a request: its elements are in ``data``, or after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class OutputBody(ApiBody):
    """One tensor that is wanted."""

    name: str
    parameters: Parameters | None = None


class InferBody(ApiBody):
    """A request to infer. ``model_name`` is what KServe's client sends besides: the name in the path, once more."""

    id: str | None = None
    model_name: str | None = None
    parameters: Parameters | None = None
    inputs: list[InputBody]
    outputs: list[OutputBody] | None = None


class GenerateBody(RootModel[Parameters]):
    """A request to generate: values of inputs and parameters by their names."""


class IndexBody(ApiBody):
    """Which versions are asked for."""

    ready: bool = False


class ChangeBody(ApiBody):
    """A request to load or unload a model."""

    parameters: Parameters | None = None


class SettingsBody(RootModel[Parameters]):
    """Settings of the log or of traces, by name."""
