"""Who is known, by what, and what each may do: a table made of the file of callers, asked at each call."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from attendant.core.caller import Caller, Right
from attendant.settings.callers import CallerRow

_NOBODYS = bytes(32)
"""What the digest of a token is compared with that nobody has, so that it takes no other way than one that somebody
has."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may do. ``digest``: of its token, empty if a certificate says who it is. ``expires_s``: the moment
    from which it is not known any more, in seconds since 1970."""

    caller: Caller
    digest: bytes
    expires_s: float


class Grants:
    """The callers of one file.

    Tokens are random numbers of 256 bits, so a plain hash of each is enough: nobody finds one by trying, however fast
    that is. It is looked up by its hash, which tells a caller nothing by the time that it takes: who cannot choose the
    hash cannot approach one.
    """

    def __init__(self, rows: Sequence[CallerRow] = ()) -> None:
        self._by_digest: dict[bytes, Grant] = {}
        self._by_name: dict[str, Grant] = {}
        for row in rows:
            digest = bytes.fromhex(row.sha256 or "")
            models = None if "*" in row.models else row.models
            grant = Grant(Caller(row.name, frozenset(row.scopes), models), digest, row.expires_s())
            if row.certificate is not None:
                self._by_name[row.certificate] = grant
            else:
                self._by_digest[digest] = grant

    def __len__(self) -> int:
        return len(self._by_digest) + len(self._by_name)

    @property
    def has_tokens(self) -> bool:
        """Whether anybody is known by a token."""
        return bool(self._by_digest)

    def of_token(self, token: str) -> Grant | None:
        """The grant of who has this token; None: nobody has."""
        digest = sha256(token.encode(errors="surrogateescape")).digest()
        grant = self._by_digest.get(digest)
        same = hmac.compare_digest(digest, grant.digest if grant is not None else _NOBODYS)
        return grant if same else None

    def of_certificate(self, names: Iterable[str]) -> Grant | None:
        """The grant of whom a certificate for these names is; of several that of the first."""
        return next((self._by_name[name] for name in names if name in self._by_name), None)


def of_any_certificate(names: Sequence[str]) -> Grant | None:
    """What a caller with a certificate may do where there is no file of callers: ask every model. None: it has none."""
    return Grant(Caller(names[0], frozenset({Right.INFER, Right.METRICS})), b"", float("inf")) if names else None
