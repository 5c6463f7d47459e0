"""Which calls a page of another site in somebody's browser makes: such a page must not use the server."""

from __future__ import annotations

from starlette.requests import Request


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
