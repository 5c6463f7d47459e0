"""What the metadata of a call may ask for, whichever skin took it in: whom it is charged to, how soon it is to be."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from urllib.parse import unquote

from attendant.core.context import CallContext
from attendant.core.errors import InvalidRequest
from attendant.core.salts import SALT_KEY, check_salt

TENANT_KEY, PRIORITY_KEY = "x-llm-d-inference-fairness-id", "x-attendant-priority"
LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
TARGET_KEY, LONGEST_TARGET_S = "x-llm-d-slo-ttft-ms", 1e6
_MILLISECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_TENANT = re.compile(r"[!-~]{1,256}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


def heeded(context: CallContext) -> CallContext:
    """The context with what the call's metadata ask for. A call's tenant is its subject; of one without a subject, what
    the metadata say; else the host that it came from.

    Raises:
        InvalidRequest: something is asked for that cannot be read; names the key.
    """
    check_salt(context.cache_salt, SALT_KEY)
    said = context.metadata.get(TENANT_KEY)
    if said is not None and not _TENANT.fullmatch(said):
        raise InvalidRequest(TENANT_KEY, f"is {said[:100]!r}; allowed: 1 to 256 visible characters of ASCII, no spaces")
    asked = context.metadata.get(PRIORITY_KEY)
    priority = context.priority if asked is None else _priority(asked)
    target = context.metadata.get(TARGET_KEY)
    if target is not None:
        context = with_target(context, TARGET_KEY, _milliseconds(target) / 1000)
    return replace(context, tenant=context.subject or said or host_of(context.client), priority=priority)


def with_target(context: CallContext, field: str, seconds: float) -> CallContext:
    """The context of a call whose first token has so many seconds from its arrival on, or fewer if that was said
    before. Raises InvalidRequest, which names ``field``."""
    if not 0 < seconds <= LONGEST_TARGET_S:  # nor not a number
        raise InvalidRequest(field, f"is {seconds:g} s; allowed: greater than 0, at most {LONGEST_TARGET_S:g} s")
    by_ns = context.arrival_ns + round(seconds * 1e9)
    before_ns = context.first_token_by_ns
    return replace(context, first_token_by_ns=by_ns if before_ns is None else min(by_ns, before_ns))


def check_priority(field: str, priority: int) -> int:
    """The priority, if it is one. Raises InvalidRequest, which names ``field``."""
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise InvalidRequest(field, f"is {priority}; allowed: {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}")
    return priority


def nearest_priority(priority: int) -> int:
    """The priority that there is nearest to one of a protocol with more of them."""
    return min(max(priority, LOWEST_PRIORITY), HIGHEST_PRIORITY)


def host_of(client: str) -> str:
    """The host of a peer, as gRPC or HTTP write it, without its port: one spelling for each, empty if nobody knows."""
    kind, parted, rest = client.partition(":")
    if kind == "unix":
        return kind
    address = unquote(rest) if parted and kind in ("ipv4", "ipv6") else client
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _priority(said: str) -> int:
    if not _INTEGER.fullmatch(said):
        allowed = f"a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise InvalidRequest(PRIORITY_KEY, f"is {said[:100]!r}; allowed: {allowed}")
    return check_priority(PRIORITY_KEY, int(said))


def _milliseconds(said: str) -> float:
    if not _MILLISECONDS.fullmatch(said):
        raise InvalidRequest(TARGET_KEY, f"is {said[:100]!r}; allowed: milliseconds, as a decimal number")
    return float(said)
