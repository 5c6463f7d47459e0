"""How Locust's users reach a server that does not listen to everyone. Locust has flags ``--tls-cert`` and ``--tls-key``
of its own, for its page, so that those of a caller have other names here."""

from __future__ import annotations

import ssl
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from attendant.client.access import CA, CERTIFICATE, KEY, TOKEN, Access, CannotReach
from locust import events


def add_access(add: Callable[..., None]) -> None:
    """Flags, by a function like ``add_argument``."""
    add("--tls", action="store_true", help="gRPC is encrypted; implied by the three below")
    add("--tls-ca", default=None, help=f"file with the server's authority, PEM [env: {CA}]")
    add("--client-cert", default=None, help=f"file with your own certificate, PEM [env: {CERTIFICATE}]")
    add("--client-key", default=None, help=f"file with its key, PEM [env: {KEY}]")
    add("--token-file", default=None, help=f"file with nothing but your token [env: the token itself: {TOKEN}]")


@events.init.add_listener  # type: ignore[untyped-decorator]
def refuse(environment: Any, **_: object) -> None:
    """Ends the program before a run where a file cannot be read: within one, it would be a failure of a user."""
    try:
        access_of(environment.parsed_options)
    except CannotReach as error:
        sys.exit(str(error).replace("--tls-cert", "--client-cert").replace("--tls-key", "--client-key"))


def access_of(options: Namespace) -> Access:
    """What is shown to the server. Raises CannotReach."""
    given = {"tls": options.tls, "tls_ca": options.tls_ca, "token_file": options.token_file, "auth_token": None}
    return Access.of(Namespace(**given, tls_cert=options.client_cert, tls_key=options.client_key))


def context_of(options: Namespace, access: Access) -> Any:
    """The same for HTTPS, as an ``ssl.SSLContext``."""
    found = ssl.create_default_context(cadata=None if access.ca is None else access.ca.decode())
    if access.certificate is not None:
        found.load_cert_chain(options.client_cert, options.client_key)
    return found
