"""The fields of TEI's /embed, /embed_all, /embed_sparse, /predict and /rerank."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainValidator, RootModel, ValidationError

from attendant.core.errors import InvalidRequest
from attendant.frontend.encoding.calls import TextItem
from attendant.http.api.bodies import ApiBody, refusal
from attendant.http.api.items import check_number, texts, texts_or_ids
from attendant.http.api.rerank.bodies import RerankBody

Direction = Literal["Left", "Right", "left", "right"]


class CutBody(ApiBody):
    """What every call may say of texts that are too long: they are refused, or cut on this side."""

    truncate: bool | None = None
    truncation_direction: Direction | None = None


class EmbedAllBody(CutBody):
    """Of /embed_all and /embed_sparse."""

    inputs: Annotated[Any, texts_or_ids("inputs")]
    prompt_name: str | None = None


class EmbedBody(EmbedAllBody):
    """Of /embed."""

    normalize: bool = True
    dimensions: int | None = None


def _predicted(value: Any) -> list[TextItem]:
    """A text; two, which are a pair; or a list of lists with one or two each.

    Raises:
        InvalidRequest: something else.
    """
    if isinstance(value, list) and value and all(isinstance(each, list) for each in value):
        check_number(value, "inputs")
        return [_pair(each, f"inputs[{index}]") for index, each in enumerate(value)]
    return [_pair([value] if isinstance(value, str) else value, "inputs")]


def _pair(value: Any, field: str) -> TextItem:
    if not isinstance(value, list) or len(value) not in (1, 2) or not all(isinstance(each, str) for each in value):
        raise InvalidRequest(field, "is not as it has to be; allowed: a text, or a list of one or two texts")
    return TextItem(*value)


class PredictBody(CutBody):
    """Of /predict. ``batch``: there are several inputs, or a list with one, which is answered by a list."""

    inputs: Annotated[
        Any,
        PlainValidator(
            lambda value: (_predicted(value), _is_batch(value)),
            json_schema_input_type=str | list[str] | list[list[str]],
        ),
    ]
    raw_scores: bool = False


def _is_batch(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


class TeiRerankBody(CutBody):
    """Of /rerank where it has ``texts``."""

    query: str
    texts: Annotated[Any, texts("texts")]
    raw_scores: bool = False
    return_text: bool = False


def _either(value: Any) -> tuple[bool, ApiBody | InvalidRequest]:
    is_tei = isinstance(value, dict) and "texts" in value
    kind = TeiRerankBody if is_tei else RerankBody
    try:
        return is_tei, kind.model_validate(value)
    except ValidationError as error:
        return is_tei, refusal(kind, error)
    except InvalidRequest as error:
        return is_tei, error


class AnyRerankBody(RootModel[Any]):
    """Of /rerank: whether it is TEI's, which has ``texts``, or as /v1/rerank has it, and the body or what is wrong with
    it: that is told in the words of the one whose it is."""

    root: Annotated[Any, PlainValidator(_either, json_schema_input_type=TeiRerankBody | RerankBody)]
