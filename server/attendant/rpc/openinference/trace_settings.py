"""The trace extension: Triton's settings of traces, of which the rate means something here."""

from __future__ import annotations

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.audit import changing
from attendant.core.errors import InvalidRequest, NotAllowed
from attendant.core.stages import Tracer
from attendant.rpc.openinference.log_settings import CLOSED
from attendant.rpc.openinference.single import cut

LEVEL, RATE, MODE = "trace_level", "trace_rate", "trace_mode"
_OFF, _ON = "OFF", "TIMESTAMPS"
_MOST = 10**9


def trace_settings(
    request: pb.TraceSettingRequest, tracer: Tracer | None, *, everyone: bool = False
) -> pb.TraceSettingResponse:
    """The settings, after those of the request are made: one of ``trace_rate`` calls is kept, of those whose callers
    decided nothing; none with the level OFF. They are the server's, also where a model is named.

    Args:
        tracer: follows calls; None: none are.
        everyone: may make settings, not only callers who may change the server.

    Raises:
        InvalidRequest: a setting that means nothing here, or of one model.
        NotAllowed: a setting is to be made, and no calls are followed; or the caller may make none.
        NotPermitted: the caller may make none.
    """
    if request.settings:
        with changing("change what is traced", everyone=everyone, closed=CLOSED):
            _change(request, tracer)
    return _response(tracer.share if tracer is not None else 0.0)


def _change(request: pb.TraceSettingRequest, tracer: Tracer | None) -> None:
    if request.model_name:
        raise InvalidRequest("model_name", "is set beside settings; allowed: empty, as models have none of their own")
    share = _share(request)
    if tracer is None:
        raise NotAllowed("no calls are followed: traces.enabled is false")
    if share is not None:
        tracer.keep(share)


def _share(request: pb.TraceSettingRequest) -> float | None:
    """The share of calls to keep; None: as it is."""
    share: float | None = None
    off = False
    for name, setting in request.settings.items():
        field, values = f"settings[{name[:100]}]", list(setting.value)
        if name == RATE:
            share = 1 / _rate(values, field)
        elif name == LEVEL:
            if values not in ([_OFF], [_ON]):
                raise InvalidRequest(
                    field, f"is {cut(str(values))}; allowed: [{_OFF!r}] or [{_ON!r}]; of texts, traces.text decides"
                )
            off = values == [_OFF]
            share = 1.0 if share is None and not off else share
        elif name != MODE or values != ["opentelemetry"]:
            found, allowed = (
                (cut(str(values)), "opentelemetry") if name == MODE else ("not known", f"{LEVEL}, {RATE}, {MODE}")
            )
            raise InvalidRequest(field, f"is {found}; allowed: {allowed}")
    return 0.0 if off else share


def _rate(values: list[str], field: str) -> int:
    word = values[0] if len(values) == 1 else ""
    if word.isdecimal() and len(word) <= len(str(_MOST)) and 1 <= int(word) <= _MOST:
        return int(word)
    raise InvalidRequest(field, f"is {cut(str(values))}; allowed: one number from 1 (all calls are kept) to {_MOST}")


def _response(share: float) -> pb.TraceSettingResponse:
    response = pb.TraceSettingResponse()
    response.settings[LEVEL].value.append(_ON if share else _OFF)
    response.settings[RATE].value.append(str(round(1 / share)) if share else "0")
    response.settings[MODE].value.append("opentelemetry")
    return response
