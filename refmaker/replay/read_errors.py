"""What goes wrong between a reader and a store: what may go away by itself, what must not be shown.

Contract: nothing here is seen by users. `VersionMismatch` and `IncompleteRead` say what a store found;
`refmaker.replay.targets` makes of them the errors that name key and target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from refmaker.errors import SourceError
from refmaker.redaction import secrets_of

__all__ = ["VersionMismatch", "IncompleteRead", "redact", "secrets_of", "is_transient"]

_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP: try again later (RFC 9110, 15.5 and 15.6; RFC 6585)."""

_KINDS = frozenset({"ClientConnectionError", "ClientPayloadError", "IncompleteRead", "IncompleteReadError"})
"""By name, so that the packages need not be there: aiohttp's connection lost and body cut, botocore's body cut."""

_LOGIN = re.compile(r"(?<=://)[^/@\s'\"]+@")
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>)]+")


class VersionMismatch(Exception):
    """The target is not the file that was scanned; `differences` says in what."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = list(differences)


class IncompleteRead(SourceError):
    """An answer that breaks off, or has less than it could."""


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may well succeed a little later."""
    if isinstance(error, IncompleteRead | ConnectionError | TimeoutError):
        return True
    if getattr(error, "status", None) in _STATUSES:
        return True
    return not _KINDS.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what may let others in: logins and queries of urls (signatures), and `secrets`."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return _QUERY.sub("…", _LOGIN.sub("", text))
