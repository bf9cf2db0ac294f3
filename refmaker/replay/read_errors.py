"""What goes wrong between a reader and a store: what may go away by itself, what must not be shown.

Contract: nothing here is seen by users. `VersionMismatch` and `IncompleteRead` say what a store found;
`refmaker.replay.targets` makes of them the errors that name key and target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from refmaker.errors import SourceError, TargetChanged
from refmaker.redaction import secrets_of
from refmaker.retry import retry_after

__all__ = ["VersionMismatch", "IncompleteRead", "redact", "secrets_of", "is_transient", "target_changed"]

_LOGIN = re.compile(r"(?<=://)[^/@\s'\"]+@")
_QUERY = re.compile(r"(?<=\?)[^\s'\"<>)]+")


class VersionMismatch(Exception):
    """The target is not the file that was scanned; `differences` says in what."""

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__("; ".join(differences))
        self.differences = list(differences)


class IncompleteRead(SourceError):
    """An answer that breaks off, or has less than it could."""

    is_transient = True


def target_changed(url: str, key: str, differences: Sequence[str]) -> TargetChanged:
    """Return the error for a target that differs, which says what can be done."""
    return TargetChanged(
        f"the file is not the one that was scanned ({'; '.join(differences)}). Scan it again; or compare the two by "
        "`refmaker verify` and accept the file as it is now; or open with check='size' or check='off' to look at less",
        source=url,
        path=key,
    )


def is_transient(error: BaseException) -> bool:
    """Return whether the same request may well succeed a little later."""
    return retry_after(error) is not None


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what may let others in: logins and queries of urls (signatures), and `secrets`."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return _QUERY.sub("…", _LOGIN.sub("", text))
