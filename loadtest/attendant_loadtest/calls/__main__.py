"""``python -m attendant_loadtest.calls`` prints every call: the user that makes it, its name in statistics, how it
goes, and what a model has to be able to do for it."""

from __future__ import annotations

import locust  # noqa: F401 - first of all: what it does to ssl, it can only do before others have it

from attendant_loadtest.calls import everybody
from attendant_loadtest.calls.rpc import Rpc
from attendant_loadtest.calls.user import CallingUser


def main() -> None:
    """A line for each call, its parts apart by tabs."""
    for name in everybody.__all__:
        user: type[CallingUser] = getattr(everybody, name)
        for call in user.calls:
            way = f"grpc {call.method}" if isinstance(call, Rpc) else f"{call.verb} {call.path}"
            print(name, call.name, way, call.needs, sep="\t")


if __name__ == "__main__":
    main()
