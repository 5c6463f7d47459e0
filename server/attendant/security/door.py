"""The door: who makes a call, and whether they may make it. Skins ask here before they do anything for a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attendant.core.caller import Caller, Right
from attendant.core.errors import AttendantError, NotPermitted, Unauthenticated
from attendant.security.grants import Grant, Grants, of_any_certificate
from attendant.security.kept import Kept
from attendant.security.refusals import Refusals

HOW = "send 'authorization: Bearer TOKEN'"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a call shows to say who makes it.

    Attributes:
        token: None: it has none; empty: it has something that is none.
        names: gives the names that the certificate of its connection is for, the best first; asked only if it matters.
        peer: where the call came from, host:port.
        method, request_id: of the call, for the log.
    """

    token: str | None
    names: Callable[[], Sequence[str]]
    peer: str
    method: str
    request_id: str


class Door:
    """Knows callers by their tokens and certificates. It belongs to one event loop.

    Args:
        grants: of the file of callers; None: there is none, and everyone with a certificate may ask models.
        certificates: callers may show some.
        metrics_open: figures of the server are for everyone.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        grants: Kept[Grants] | None,
        refusals: Refusals,
        *,
        certificates: bool,
        metrics_open: bool = False,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._grants = grants
        self._refusals = refusals
        self._certificates = certificates
        self._now_s = now_s
        self.metrics_open = metrics_open

    def admit(self, shown: Shown, right: Right | None) -> Caller:
        """Who makes a call.

        Args:
            right: that the call takes; None: anybody who is known may make it.

        Raises:
            Unauthenticated: nobody is known by what the call shows.
            NotPermitted: who makes it may not.
        """
        grant, reason = self._find(shown.token, shown.names)
        if grant is None:
            self._note(reason, "", shown)
            raise self._stranger(reason)
        if right is not None and right not in grant.caller.rights:
            self._note("scope", grant.caller.subject, shown)
            raise NotPermitted(
                f"{grant.caller.subject!r} may not make this call: it takes the scope {right.value!r}; granted: "
                f"{', '.join(sorted(grant.caller.rights)) or 'none'}"
            )
        return grant.caller

    def is_stranger(self, token: str | None) -> bool:
        """Whether a call with this token will be refused, whatever certificate it has: then nothing of it need be
        read."""
        if self._certificates and not (token is not None and self._takes_tokens):
            return False
        return self._find(token, tuple)[0] is None

    @property
    def _takes_tokens(self) -> bool:
        return self._grants is not None and self._grants.value.has_tokens

    def _find(self, token: str | None, names: Callable[[], Sequence[str]]) -> tuple[Grant | None, str]:
        """The grant by which a call is known, or None and why there is none."""
        if token is not None and self._takes_tokens:
            assert self._grants is not None, "it has tokens"
            grant, missing = self._grants.value.of_token(token), "unknown" if token else "malformed"
        else:
            shown = names() if self._certificates else ()
            missing = "unknown" if shown else "missing"
            grant = of_any_certificate(shown) if self._grants is None else self._grants.value.of_certificate(shown)
        if grant is None:
            return None, missing
        return (grant, "") if self._now_s() < grant.expires_s else (None, "expired")

    def _stranger(self, reason: str) -> AttendantError:
        how = HOW if self._takes_tokens else "connect with a certificate of an authority in tls.client_ca"
        if self._takes_tokens and self._certificates:
            how += ", or connect with a certificate that the file of callers has"
        said = {
            "missing": "the call does not say who makes it",
            "malformed": "the call's authorization is no bearer token",
            "unknown": "nobody is known by the token or certificate of the call",
            "expired": "the token or the grant of the call has expired",
        }[reason]
        return Unauthenticated(f"{said}; {how}")

    def _note(self, reason: str, subject: str, shown: Shown) -> None:
        self._refusals.note(reason, subject=subject, peer=shown.peer, method=shown.method, request_id=shown.request_id)


def bearer_token(authorization: str | None) -> str | None:
    """The token of an Authorization header; empty for one of another kind, None for none."""
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
