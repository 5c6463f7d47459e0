"""Which calls a page of another site in somebody's browser makes: such a page must not use the server."""

from __future__ import annotations

from starlette.requests import Request

from attendant.core.addresses import is_loopback


def other_site(request: Request, allowed: tuple[str, ...] = ()) -> str | None:
    """Why a page of another site asks, or None. Programs that are no browsers send neither header; browsers send both
    by themselves, and no script can change them.

    Args:
        allowed: origins that may ask all the same.
    """
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin")
    if origin in allowed:
        return None
    navigates = request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-mode") == "navigate"
    if site not in ("same-origin", "none") and not navigates:
        return f"a page of another site asks ({site}); allowed: this server's own"
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return f"a page of {origin[:100]!r} asks; allowed: this server's own"
    return None


def false_name(request: Request, allowed: tuple[str, ...] = ()) -> str | None:
    """Why a browser of this machine asks for a name that is another site's, or None: such a site lets its name point
    here, and its pages then pass for the server's own (DNS rebinding).

    Args:
        allowed: origins that may ask all the same.
    """
    origin, host = request.headers.get("origin"), hostname(request.headers.get("host", ""))
    peer = request.client.host if request.client is not None else ""
    if origin is None or origin in allowed or not is_loopback(peer) or host == "localhost" or is_loopback(host):
        return None
    return (
        f"a page of {origin[:100]!r} asks from this machine; allowed: one of localhost or 127.0.0.1, and http.origins"
    )


def hostname(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
