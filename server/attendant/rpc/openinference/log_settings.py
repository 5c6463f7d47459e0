"""The logging extension: Triton's settings of a log, of which the level means something here."""

from __future__ import annotations

import logging
from typing import Any

from attendant_proto.openinference import inference_pb2 as pb

from attendant.core.audit import changing
from attendant.core.errors import InvalidRequest

CLOSED = (
    "calls do not change these settings here: auth.settings_by_calls is 'admin'; allowed with: 'everyone', or callers "
    "whose token (auth.tokens) has the scope admin"
)
"""Why nobody may make settings of logs and traces who was not asked who they are."""

LEVELS = ("log_verbose_level", "log_info", "log_warning", "log_error")
"""Settings from the most to the least that is said; each says what those after it say, too."""

_PYTHONS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_SILENT = logging.CRITICAL
_FIXED = {"log_file": "", "log_format": "default"}


def log_settings(
    request: pb.LogSettingsRequest, logger: logging.Logger, *, everyone: bool = False
) -> pb.LogSettingsResponse:
    """The settings, after those of the request are made.

    What is turned off takes with it what says more; what is turned on brings what says less.

    Args:
        everyone: may make settings, not only callers who may change the server.

    Raises:
        InvalidRequest: a setting that means nothing here, of another type, or two that contradict each other.
        NotAllowed, NotPermitted: the caller may make none.
    """
    if not request.settings:
        return _response(logger)
    with changing("change what is logged", everyone=everyone, closed=CLOSED):
        return _changed(request, logger)


def _changed(request: pb.LogSettingsRequest, logger: logging.Logger) -> pb.LogSettingsResponse:
    asked: dict[int, bool] = {}
    for name, value in request.settings.items():
        field, given = f"settings[{name[:100]}]", _value(value)
        if name in _FIXED:
            if given != _FIXED[name]:
                raise InvalidRequest(field, f"is {str(given)[:100]!r}; allowed: {_FIXED[name]!r}")
        elif name == LEVELS[0]:
            if isinstance(given, bool) or not isinstance(given, int):
                raise InvalidRequest(field, f"is {str(given)[:100]!r}; allowed: 0, or 1 for all that can be said")
            asked[0] = given > 0
        elif name in LEVELS:
            if not isinstance(given, bool):
                raise InvalidRequest(field, f"is {str(given)[:100]!r}; allowed: true or false")
            asked[LEVELS.index(name)] = given
        else:
            raise InvalidRequest(field, f"is not known; allowed: {', '.join((*LEVELS, *_FIXED))}")
    if asked:
        logger.setLevel(_level(asked, _first(logger)))
    return _response(logger)


def _value(value: Any) -> Any:
    choice = value.WhichOneof("parameter_choice")
    return None if choice is None else getattr(value, choice)


def _first(logger: logging.Logger) -> int:
    """Index of the first of LEVELS that is said; their number if none is."""
    level = logger.getEffectiveLevel()
    return next((index for index, python in enumerate(_PYTHONS) if level <= python), len(LEVELS))


def _level(asked: dict[int, bool], first: int) -> int:
    on = [index for index, wanted in asked.items() if wanted]
    off = [index for index, wanted in asked.items() if not wanted]
    if on and off and min(on) < max(off):
        raise InvalidRequest(
            f"settings[{LEVELS[max(off)]}]",
            f"is off beside {LEVELS[min(on)]}, which is on; allowed: on, as it says less",
        )
    first = min([first, *on])
    first = max([first, *(index + 1 for index in off)])
    return _PYTHONS[first] if first < len(LEVELS) else _SILENT


def _response(logger: logging.Logger) -> pb.LogSettingsResponse:
    response, first = pb.LogSettingsResponse(), _first(logger)
    response.settings[LEVELS[0]].uint32_param = int(first == 0)
    for index, name in enumerate(LEVELS[1:], 1):
        response.settings[name].bool_param = index >= first
    for name, value in _FIXED.items():
        response.settings[name].string_param = value
    return response
