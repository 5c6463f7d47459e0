"""Makes the answer to a kept call again: what to ask so that it is the same answer, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from attendant_proto.v1 import receipt_pb2, speech_pb2

from attendant.client.connection import CallFailed, Connection
from attendant.client.replay.differences import Change, answer_changes, asked_changes
from attendant.traffic.calls import KeptCall, ask_for_receipt


@dataclass(frozen=True)
class Outcome:
    """What came of one kept call.

    Attributes:
        place: file and line.
        model: that was asked.
        error: why there is no answer to compare, or empty.
        changes: in the answer; none if it is equal to the bit.
        reasons: what held in another way, of calls whose answer changed.
    """

    place: str
    call: KeptCall
    model: str
    error: str = ""
    changes: list[Change] = field(default_factory=list)
    reasons: list[Change] = field(default_factory=list)


def make_again(connection: Connection, place: str, call: KeptCall, against: str) -> Outcome:
    """Ask again, and compare. ``against``: the name of the model to ask; empty for the one that answered."""
    model = against or model_of(call)
    if unseeded(call):
        return Outcome(place, call, model, "it was drawn, and nobody knows the seed: it was kept without a receipt")
    request = request_again(call, model)
    try:
        after = KeptCall.of(request, _ask(connection, call.call, request))
    except CallFailed as error:
        return Outcome(place, call, model, str(error))
    changes = answer_changes(call, after)
    reasons: list[Change] = []
    if changes and call.receipts[0].digest and after.receipts:
        reasons = asked_changes(call.receipts[0], after.receipts[0])
    return Outcome(place, call, model, changes=changes, reasons=reasons)


def model_of(call: KeptCall) -> str:
    """The name of the model that answered, or that the request asks for."""
    return call.receipts[0].maker.model or str(_options(call.request).model)


def request_again(call: KeptCall, model: str) -> Any:
    """The request that makes the answer again: with the seed that was used."""
    request = type(call.request)()
    request.CopyFrom(call.request)
    _options(request).model = model
    receipt: receipt_pb2.Receipt = call.receipts[0]
    if receipt.HasField("seed"):
        _options(request).sampling.seed = receipt.seed
    ask_for_receipt(request)
    return request


def unseeded(call: KeptCall) -> bool:
    """Whether the answer was drawn with a seed that nobody kept."""
    options = _options(call.request)
    if call.receipts[0].digest or not hasattr(options, "sampling"):
        return False
    return options.sampling.temperature > 0 and not options.sampling.HasField("seed")


def _options(request: Any) -> Any:
    """Where a request says model and sampling."""
    return request.options if isinstance(request, speech_pb2.SpeechRequest) else request


def _ask(connection: Connection, call: str, request: Any) -> list[Any]:
    if call == "generate":
        return list(connection.generate(request))
    return [connection.transcribe(request) if call == "speech" else connection.encode(request)]
