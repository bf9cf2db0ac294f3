"""What goes wrong between a reader and a store: what may go away by itself, what must not be shown.

Contract: nothing here is seen by users. `Differs` and `Incomplete` say what a store found; `refmaker.replay.targets`
makes of them the errors that name key and target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from refmaker.errors import SourceError

__all__ = ["Differs", "Incomplete", "hidden", "secrets_of", "transient"]

_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP: try again later (RFC 9110, 15.5 and 15.6; RFC 6585)."""

_KINDS = frozenset({"ClientConnectionError", "ClientPayloadError", "IncompleteRead", "IncompleteReadError"})
"""By name, so that the packages need not be there: aiohttp's connection lost and body cut, botocore's body cut."""

_LOGIN = re.compile(r"(?<=://)[^/@\s'\"]+@")
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>)]+")
_SECRET = re.compile("secret|token|passw|credential|auth|cookie|sas|account_key|^key$|signature", re.IGNORECASE)


class Differs(Exception):
    """The target is not the file that was scanned; `differences` says in what."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = list(differences)


class Incomplete(SourceError):
    """An answer that breaks off, or has less than it could."""


def transient(error: BaseException) -> bool:
    """Tell whether the same request may well succeed a little later."""
    if isinstance(error, Incomplete | ConnectionError | TimeoutError):
        return True
    if getattr(error, "status", None) in _STATUSES:
        return True
    return not _KINDS.isdisjoint(kind.__name__ for kind in type(error).__mro__)


def hidden(text: str, secrets: Iterable[str] = ()) -> str:
    """Give a text without what may let others in: logins and queries of urls (signatures), and `secrets`."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return _QUERY.sub("…", _LOGIN.sub("", text))


def secrets_of(options: Mapping[str, Any]) -> set[str]:
    """Find the passwords, keys and tokens in options of filesystems."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, Mapping):
            found |= secrets_of(value)
            if _SECRET.search(str(name)):
                found |= {inner for inner in value.values() if isinstance(inner, str)}
        elif isinstance(value, str) and len(value) > 3 and _SECRET.search(str(name)):
            found.add(value)
    return found
