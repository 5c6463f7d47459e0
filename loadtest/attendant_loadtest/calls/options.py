"""Settings of the users that make every call, as flags or environment variables."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from locust import events


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: ArgumentParser, **_: object) -> None:
    """Beside those of :mod:`attendant_loadtest.users`."""
    group: Any = parser.add_argument_group("Attendant, every call")

    def add(flag: str, **options: Any) -> None:
        group.add_argument(flag, env_var="LOCUST_" + flag.strip("-").replace("-", "_").upper(), **options)

    add("--http-host", default="http://127.0.0.1:9090", help="where the server's HTTP is (default: %(default)s)")
    add("--vllm-host", default="", help="ports of --vllm-engine, host:port with commas between (default: none)")
    add("--calls", default="", help="only these, by name or end of name, with commas between (default: all)")
    add("--models", default="", help="only these models are asked, with commas between (default: all)")
    add("--mask", default="[MASK]", help="what fill-mask models take for a gap (default: %(default)s)")
    add("--sound-s", type=float, default=5.0, help="length of recordings in seconds (default: %(default)s)")
    add("--reload", default="", help="a model that users unload and load again; nobody else asks it (default: none)")
    add("--rounds", type=int, default=0, help="end after each user has made its calls so often (default: no end)")
