"""Whom what is cached of a prompt belongs to: salts that callers send, and their tenants."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest

SALT_KEY = "x-attendant-cache-salt"
"""The metadata, or the header, by which any call may say its salt."""

MAX_SALT = 1024
"""Bytes of a salt."""


def salted(context: CallContext, salt: str, field: str = "cache_salt") -> CallContext:
    """The context of a call that says its salt by a field, too. Whoever shares what is cached has both in common.

    Args:
        salt: of the field, which has the name ``field``; empty for none.

    Raises:
        InvalidRequest: one of both is too long.
    """
    check_salt(context.cache_salt, SALT_KEY)
    if not salt:
        return context
    own = salt.encode(errors="surrogatepass")
    check_salt(own, field)
    if own == context.cache_salt:
        return context
    return replace(context, cache_salt=_both(context.cache_salt, own) if context.cache_salt else own)


def salt_of(context: CallContext, *, by_tenant: bool) -> bytes:
    """The salt of a call's prompts. ``by_tenant``: each tenant has its own, whatever callers say."""
    return _both(context.tenant.encode(errors="surrogatepass"), context.cache_salt) if by_tenant else context.cache_salt


def check_salt(salt: bytes, field: str) -> None:
    """Raises InvalidRequest, which does not show it, for a salt that is too long."""
    if len(salt) > MAX_SALT:
        raise InvalidRequest(field, f"has {len(salt)} bytes; allowed: at most {MAX_SALT}")


def _both(first: bytes, second: bytes) -> bytes:
    """What two salts make together: no other two make the same, and nobody can say it as one of his own."""
    whole = b"%d:%b%b" % (len(first), first, second)
    return hashlib.blake2b(whole, digest_size=32, person=b"salts").digest()
